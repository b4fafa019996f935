"""What the text of a statement shows."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field, fields
from typing import Literal

from .session_change import NOTHING, RESETS, SessionChange, changes_for_now, changes_settings


class Kind(enum.Enum):
    """What a statement does, as far as that matters for routing."""

    READ = "read"  # a replica gives the same answer as the primary
    WRITE = "write"  # needs the primary, or the text does not show that it does not
    BEGIN = "begin"
    COMMIT = "commit"
    ROLLBACK = "rollback"
    SAVEPOINT = "savepoint"
    RELEASE = "release"
    ROLLBACK_TO = "rollback to"
    SET = "set"  # changes session settings, so it must run in every Postgres session that serves this caller
    SET_LOCAL = "set local"  # the same until the end of the transaction
    LISTEN = "listen"
    UNLISTEN = "unlisten"
    TWO_PHASE = "two-phase"
    SERVER = "server"  # acts on the server that the caller reads from, since process ids belong to one server

    __hash__ = object.__hash__  # Enum's own is a Python function, and every statement is looked up in several sets


#: What changes session settings.
SETTING_CHANGES = frozenset({Kind.SET, Kind.SET_LOCAL})
#: What ends a transaction.
ENDS = frozenset({Kind.COMMIT, Kind.ROLLBACK})
#: What begins or ends one, or is about its savepoints.
TRANSACTION_CONTROL = ENDS | {Kind.BEGIN, Kind.SAVEPOINT, Kind.RELEASE, Kind.ROLLBACK_TO}


@dataclass(frozen=True, kw_only=True, slots=True)
class Statement:
    """The classification of a statement, or of several in one string."""

    kind: Kind
    why: str
    """A short explanation, for :attr:`fly_orm.Served.why`. Nothing may depend on its words."""
    name: str | None = None
    """The name of the savepoint, folded to lower case as by the server, or of the session setting, in lower case.

    Several session settings are separated by commas.
    """
    read_only: bool = False
    """For a BEGIN: whether a replica can serve the transaction."""
    isolation: str | None = None
    """For a BEGIN: the isolation level that it names, such as READ COMMITTED; None for the session's default."""
    simple: bool = False
    """For a transaction command: whether it is fully understood, and so can be delayed."""
    command_tag: str = ""
    """For a BEGIN: what the server reports that it has executed, BEGIN or START TRANSACTION."""
    leaves_state: bool = False
    """Whether it leaves state in the Postgres session that later statements need (a temporary table, a lock)."""
    resets: bool = False
    """Whether it gives its session settings, by name, the values that the session began with."""
    resets_all: bool = False
    """Whether it resets all session settings."""
    discards_all: bool = False
    """Whether it also discards all other state of the Postgres session: DISCARD ALL."""
    locks: bool = False
    """Whether it takes locks that last as long as the transaction. A replica would keep nobody out."""
    refused_in_recovery: bool = False
    """Whether a replica refuses it although a READ ONLY transaction on the primary executes it, such as NOTIFY."""
    asynchronous: bool = False
    """Whether commits may not wait for their WAL from then on: it may change ``synchronous_commit``."""
    shows_setting: bool = False
    """For a read: whether it is SHOW, or several statements with a SHOW among them."""
    primary_only: bool = False
    """For a change of session settings: whether a replica refuses it, or would refuse reads after it."""
    copy: Literal["in", "out"] | None = None
    """For a COPY between client and server: the direction of the data, as the server sees it."""
    needs_transaction: bool = False
    """Whether Postgres executes it only inside of a transaction block."""
    begins_transaction: bool = False
    """Whether one of several statements begins a transaction."""
    ends_transaction: bool = False
    """Whether one of several statements ends a transaction."""
    controls: tuple[Statement, ...] = ()
    """Those of several statements that begin or end a transaction, or are about savepoints, in their order."""
    function_names: frozenset[str] = frozenset()
    """For a read: the words, in lower case, that may be names of functions that it calls."""
    user_calls: frozenset[str] = frozenset()
    """The functions, in lower case, that it may call and that may be the user's own."""
    changes: SessionChange = NOTHING
    """What it may change in the Postgres session besides the settings of its name."""
    cursor: str | None = None
    """The name of the cursor that it declares, fetches from, moves or closes; empty for CLOSE ALL."""
    opens_cursor: bool = False
    """Whether what it calls runs later, when rows are fetched."""
    defines_functions: bool = False
    """Whether it defines a function or a procedure, or replaces one."""
    takes_snapshot: bool = False
    """Whether the transaction that is open after it, if one is, has certainly taken a snapshot by then."""
    is_plain_read: bool = field(init=False, default=False)
    """Whether it is a read that calls none of the user's functions."""
    is_plain_write: bool = field(init=False, default=False)
    """Whether it is a write of which nothing is known that would distinguish it from other writes but its text."""

    @property
    def counts_on_primary(self) -> bool:
        """Whether a READ ONLY transaction has to go on on the primary to execute it.

        A lock that it takes, or state that it leaves, has its meaning there only, or a replica refuses it.
        """
        return self.leaves_state or self.locks or self.refused_in_recovery or self.changes.needs_primary

    def __post_init__(self) -> None:
        object.__setattr__(self, "is_plain_read", self.kind is Kind.READ and not self.user_calls and not self.changes)
        object.__setattr__(self, "is_plain_write", self.kind is Kind.WRITE and _facts(self) == _NO_FACTS)

    @property
    def makes(self) -> frozenset[str]:
        """The customized settings that exist after it, whatever the session held before."""
        known = not self.changes if self.kind in SETTING_CHANGES else not (self.user_calls or self.changes.anything)
        return self.session_changes.customized if known else frozenset()

    @property
    def session_changes(self) -> SessionChange:
        """All that it may change in the Postgres session."""
        if self.kind not in SETTING_CHANGES:
            return self.changes
        change = changes_settings if self.kind is Kind.SET else changes_for_now
        own = change(self.name.split(",")) if self.name else NOTHING
        return self.changes | own | (RESETS if self.resets_all else NOTHING)


def _facts(statement: Statement) -> list[object]:
    """All that is known of a statement, whose own values these are, but its kind, and why that was found."""
    return [getattr(statement, name) for name in _FACTS]


#: What does not distinguish a write from others outside of READ ONLY transactions.
_NOT_FACTS = frozenset({"kind", "why", "takes_snapshot", "refused_in_recovery"})
_FACTS = [each.name for each in fields(Statement) if each.init and each.name not in _NOT_FACTS]
_NO_FACTS = _facts(Statement(kind=Kind.READ, why=""))


def write(why: str, *, leaves_state: bool = False, needs_transaction: bool = False) -> Statement:
    """The classification of a statement that needs the primary."""
    return Statement(kind=Kind.WRITE, why=why, leaves_state=leaves_state, needs_transaction=needs_transaction)
