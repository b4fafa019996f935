"""One run of a suite in a mode."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any

from examples.two_regions.process import Process
from fly_orm.testing import Wan

from .modes import Mode
from .outcomes import Outcomes
from .servers import Servers
from .suites import Suite


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a run came to."""

    mode: Mode
    ran: int
    outcomes: Outcomes
    complaints: dict[str, str]
    """By test id, what went wrong."""
    selects: int
    """How many of the suite's SELECTs the replicas have served."""
    selects_on_primary: int
    """How many the primary has."""
    round_trips: int | None
    """Between lax and syd; None for a plain run."""
    seconds: float


def run(suite: Suite, servers: Servers, mode: Mode, *, enough: int = 0) -> Run:
    """Run the suite in a process of its own: plain on the primary, else in lax, with a node in syd.

    It ends after ``enough`` tests have failed; 0 is never.
    """
    name = suite.database_of(mode)
    servers.make_database(name, suite.extensions)
    started = monotonic()
    with servers.counted(name) as counts, ExitStack() as undo:
        wan = undo.enter_context(_to_syd(suite, servers, name)) if mode.wrapped else None
        undo.enter_context(servers.cluster.apply_delay(mode.apply_delay))
        given = undo.enter_context(servers.address(mode))
        arguments = (suite.name, mode.how, mode.wait, wan.address if wan else "", str(enough))
        process = _process(suite, "suite", *arguments, parameters={**given, "database": name})
        found = json.loads(undo.enter_context(process).hear())
        seconds, round_trips = monotonic() - started, wan.round_trips if wan else None
    return Run(
        mode=mode,
        seconds=seconds,
        round_trips=round_trips,
        selects=counts.on_replicas,
        selects_on_primary=counts.on_primary,
        **found,
    )


@contextmanager
def _to_syd(suite: Suite, servers: Servers, name: str) -> Iterator[Wan]:
    """The network to a node that serves the database on the primary."""
    parameters = {**servers.cluster.primary.params(), "database": name}
    with _process(suite, "node", suite.name, parameters=parameters) as node, Wan(node.hear()) as wan:
        yield wan


def _process(suite: Suite, module: str, *arguments: str, parameters: Mapping[str, Any]) -> Process:
    """A process that is to use a database."""
    named = {name: value for name, value in parameters.items() if name != "dbname"}
    environment = {
        "CONFORMANCE_DATABASE": json.dumps(named),
        "PYTHONHASHSEED": "0",  # Pony keeps sets, whose order should not tell the runs apart
        **suite.module.environment(named),
    }
    return Process(f"tests.conformance.{module}", *arguments, environment={**os.environ, **environment})
