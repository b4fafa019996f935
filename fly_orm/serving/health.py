"""Health checks over HTTP, as orchestrators and load balancers make them."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from functools import partial

from ..deadline import Deadline
from ..errors import FlyOrmError
from ..forwarding.sealed_channel import check_channel
from ..registry import make_transport
from ..settings import Settings
from ..topology import Node
from .executor import Executor
from .http import HttpServer, Page
from .metrics import metrics_page
from .readiness import ANSWER_TIMEOUT, Problem, Readiness, alive, problems_of


def health_server(
    listeners: Sequence[socket.socket], address: str, executor: Executor, settings: Settings
) -> HttpServer:
    """A server on ``listeners`` that says how the node at ``address`` is."""
    readiness = Readiness(partial(problems, address, executor, settings), lambda: executor.draining)
    metrics = metrics_page(lambda: _metrics_of(executor))
    return HttpServer(listeners, {"/livez": alive, "/readyz": readiness.page, "/metrics": metrics.page})


def _metrics_of(executor: Executor) -> Callable[[], Page]:
    from .node_metrics import NodeMetrics  # which needs an extra

    return NodeMetrics(executor).page


def problems(address: str, executor: Executor, settings: Settings) -> list[Problem]:
    """What keeps the node at ``address`` from being ready. Takes up to about two seconds."""
    if problem := _accepting_problem(address, settings):
        return [problem]
    return problems_of(executor.inspect(), in_primary_region=settings.topology.is_primary)


def _accepting_problem(address: str, settings: Settings) -> Problem | None:
    """What keeps the node from accepting a channel, such as that it has no place for one."""
    region = settings.topology.region
    try:
        transport = make_transport(settings.transport, settings)
        check_channel(
            transport,
            Node(region=region, address=address),
            secrets=settings.secrets,
            region=region,
            deadline=Deadline.after(ANSWER_TIMEOUT),
        )
    except FlyOrmError as error:
        return Problem("it accepts no channel", str(error))
    return None
