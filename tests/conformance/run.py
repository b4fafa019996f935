"""One run of the suite in a mode, on a database of its own."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from examples.two_regions.process import Process
from fly_orm.testing import Cluster, Wan
from fly_orm.testing.server import Server
from tests.support.two_regions import named

from .log import ponys_selects
from .modes import Mode
from .outcomes import Outcomes

_PROVIDER = Path(__file__).with_name("provider.py")


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a run came to."""

    mode: Mode
    ran: int
    outcomes: Outcomes
    complaints: dict[str, str]
    """By test id, what went wrong."""
    selects: int
    """How many of Pony's SELECTs the replica has served."""
    round_trips: int | None
    """Between lax and syd; None for the plain run."""
    seconds: float


def run(cluster: Cluster, mode: Mode) -> Run:
    """Run the suite in a process of its own: plain on the primary, else in lax, with a node in syd."""
    cluster.create_database(mode.name)
    cluster.wait_for_replica()
    with ExitStack() as undo:
        wan = undo.enter_context(_to_syd(cluster, mode)) if mode.wrapped else None
        undo.enter_context(cluster.apply_delay(mode.apply_delay))
        server = cluster.replica if mode.wrapped else cluster.primary
        arguments = (mode.how, mode.wait, wan.address if wan else "")
        started = monotonic()
        found = json.loads(undo.enter_context(_process("suite", *arguments, server=server, mode=mode)).hear())
        return Run(
            mode=mode,
            seconds=monotonic() - started,
            round_trips=wan.round_trips if wan else None,
            selects=ponys_selects(cluster.replica.log, mode.name),
            **found,
        )


@contextmanager
def _to_syd(cluster: Cluster, mode: Mode) -> Iterator[Wan]:
    """The network to a node that serves the mode's database on the primary."""
    with _process("node", server=cluster.primary, mode=mode) as node, Wan(node.hear()) as wan:
        yield wan


def _process(module: str, *arguments: str, server: Server, mode: Mode) -> Process:
    """A process that is to use the mode's database on a server."""
    environment = {
        "CONFORMANCE_DATABASE": json.dumps(named(server, mode.name)),
        "pony_test_db": str(_PROVIDER),
        "PYTHONHASHSEED": "0",  # Pony keeps sets, whose order should not tell the runs apart
    }
    return Process(f"tests.conformance.{module}", *arguments, environment={**os.environ, **environment})
