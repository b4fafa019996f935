"""What a history must not show."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Kind(enum.Enum):
    """The promises that can be broken."""

    LOST = "an acknowledged write is lost"
    TWICE = "a write was applied twice"
    DECLINED = "a write was applied although it was certainly declined"
    HALF = "a transaction was applied by half"
    LATE_WRITE = "a write of unknown outcome was applied after its outcome was settled"
    STRANGE = "rows belong to no write"
    STALE = "a read was older than what its session had seen"
    LATE_CALL = "a call took longer than its deadline by more than a second"
    HUNG = "a call never returned"
    FOREIGN = "an error came from neither a server, nor its driver, nor the ORM"
    LEFT = "something was left at the end"
    UNSETTLED = "an outcome stayed unknown although the ledger could be asked"


@dataclass(frozen=True, kw_only=True)
class Violation:
    """A broken promise: when it showed, and what there is to know about it."""

    kind: Kind
    at: float
    what: str

    def __str__(self) -> str:
        return f"{self.kind.value.upper()}\n{self.what}"
