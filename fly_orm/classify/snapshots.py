"""Which commands take a snapshot, which a transaction at REPEATABLE READ or SERIALIZABLE then keeps to its end.

LOCK, NOTIFY, SET and some others take none (PlannedStmtRequiresSnapshot in Postgres' pquery.c). A question of our own
after one of them would take it too early: the reads after LOCK would not see what the lock has waited for, and
SET TRANSACTION would fail.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from .queries import QUERY_WORDS
from .statement import ENDS, Kind, Statement

#: Only those that can write something are of use here. Of one that is missing, nothing is said.
_TAKE = re.compile(
    r"alter|analy[sz]e|call|cluster|comment|copy|create|declare|delete|do|drop|execute|explain|grant|import|insert|merge"
    r"|prepare|reassign|refresh|reindex|revoke|security|truncate|update|\("
)


def takes_snapshot(first: str) -> bool:
    """Whether a statement certainly takes a snapshot that begins with this token."""
    return first in QUERY_WORDS or _TAKE.fullmatch(first) is not None


def has_snapshot_after(statements: Iterable[Statement]) -> bool:
    """Whether the transaction that is open after several statements has certainly taken a snapshot in one of them."""
    found = False
    for statement in statements:
        if statement.kind in ENDS or statement.kind is Kind.BEGIN:
            found = False
        found = found or statement.takes_snapshot
    return found
