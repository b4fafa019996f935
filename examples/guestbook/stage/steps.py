"""How the statements of a page were served, in the words of the page."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import fly_orm
from fly_orm.observing import CallServed, Route, StatementServed

#: The errors of statements that no node has executed.
_UNDELIVERED = ("NotDelivered", "Refused", "NotPrimary", "NoNode", "AuthenticationFailed")
#: The longest statement that is shown.
_SHOWN = 300


@dataclass(kw_only=True)
class Place:
    """Where a process runs, and where the primary is."""

    region: str
    far: bool
    """Whether it talks to the primary over the network, without fly_orm."""
    primary: str


@dataclass(frozen=True, kw_only=True)
class Step:
    """One statement, or one call of a function. Durations are milliseconds."""

    where: str
    """The region in which it ran; empty if it ran nowhere."""
    kind: str
    """``read``, ``write``, ``control`` or ``call``."""
    what: str
    text: str
    total: float
    network: float = 0.0
    wait: float = 0.0
    error: str = ""

    def encode(self) -> dict[str, Any]:
        """Its fields, without those that are as they mostly are."""
        return {name: value for name, value in asdict(self).items() if value}

    @classmethod
    def decode(cls, fields: dict[str, Any]) -> Step:
        """The step that was encoded."""
        return cls(**{"where": "", "text": "", "total": 0.0, **fields})


def steps(trace: fly_orm.Trace, place: Place) -> list[Step]:
    """The steps of a trace, in order."""
    return [_step(event, place) for event in trace.events]


def _step(event: StatementServed | CallServed, place: Place) -> Step:
    function = isinstance(event, CallServed)
    where = _where(event, place)
    return Step(
        where=where,
        kind="call" if isinstance(event, CallServed) else event.kind,
        what=event.function.rpartition(".")[2] if isinstance(event, CallServed) else _name(event.sql),
        text=_call(event) if isinstance(event, CallServed) else event.sql[:_SHOWN],
        total=_ms(event.total),
        network=_ms(event.total if place.far and where != place.region and not function else event.rpc),
        wait=0.0 if place.far else _ms(event.wait),
        error=event.error or "",
    )


def _where(event: StatementServed | CallServed, place: Place) -> str:
    if event.node is not None:
        return event.node.partition("=")[0]
    if event.route is None or (event.route is Route.PRIMARY and event.error in _UNDELIVERED):
        return ""
    return place.primary if place.far or event.route is Route.PRIMARY else place.region


def _name(sql: str) -> str:
    """The first word of a statement, and the table that follows it: ``SELECT post``."""
    words = sql.replace("(", " ").split()
    after = next((words[at + 1] for at, word in enumerate(words[:-1]) if word in ("FROM", "INTO", "UPDATE")), "")
    return f"{words[0] if words else ''} {after.strip(chr(34))}".strip()


def _call(event: CallServed) -> str:
    told = "" if event.statements is None else f": {event.statements} statements there"
    return f"{event.function}(){told}"


def _ms(seconds: float) -> float:
    return round(1000 * seconds, 1)
