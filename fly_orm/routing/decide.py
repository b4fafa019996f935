"""What to do with a statement, given the state of its connection and of its caller's session. Pure."""

from __future__ import annotations

import enum

import msgspec

from ..classify import SETTING_CHANGES, Kind, Statement


class Action(enum.Enum):
    """What the connection does with a statement."""

    READ_HERE = "run on the replica, and on the primary if the replica refuses it"
    READ_IF_SHOWN = "ask a replica in the same transaction whether it shows enough, and run on it or on the primary"
    HERE = "run on the local server, and take its answer"
    FORWARD = "run on the primary"
    BEGIN_HERE = "begin a transaction on the replica"
    BEGIN = "begin a transaction on the primary, with its first statement"
    DELAY = "send it with the transaction's next statement"
    MOVE = "end the transaction on the replica, begin it on the primary, and run there"
    COMMIT = "commit the transaction on the primary"
    ROLLBACK = "roll the transaction on the primary back"
    SET = "run on the replica, and in every Postgres session on the primary"
    REFUSE = "raise NotSupported"

    __hash__ = object.__hash__  # as for Kind


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What a decision depends on besides the statement."""

    promoted: bool = False
    """The local server has been promoted."""
    here: bool = False
    """A read-only transaction is open on the replica."""
    may_leave: bool = False
    """That transaction can go on on the primary, where reads have to run."""
    remote: bool = False
    """A transaction is open on the primary, or begins there with the next statement."""
    failed: bool = False
    """That transaction has failed and can only be rolled back."""
    primary_has_state: bool = False
    """The Postgres session on the primary has state that later statements need (a temporary table, a lock)."""
    primary_settings: bool = False
    """The connection has session settings that no replica accepts."""
    pinned: bool = False
    """Reads have to run on the primary: the replica has not replayed enough, or the caller asked for it."""
    pooled: bool = False
    """That is, unless the server that a pooler chooses for the read turns out to have replayed enough."""


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What to do with a statement."""

    action: Action
    why: str
    """A short clause for :attr:`fly_orm.Served.why`."""
    waited: float = 0.0
    """Seconds for which it has waited for the replica already."""


_UNSUPPORTED = frozenset({Kind.LISTEN, Kind.TWO_PHASE})
_ABOUT_SAVEPOINTS = frozenset({Kind.SAVEPOINT, Kind.RELEASE, Kind.ROLLBACK_TO})
#: Outside a transaction these have the same effect, or the same error, on any server.
_SAME_ANYWHERE = frozenset({Kind.COMMIT, Kind.ROLLBACK, Kind.SET_LOCAL, Kind.UNLISTEN, Kind.SERVER}) | _ABOUT_SAVEPOINTS

#: They decide how statements are quoted here, and read on the primary.
_QUOTING = frozenset({"client_encoding", "standard_conforming_strings"})
PINNED = "the session's reads are pinned to the primary"
_PRIMARY_SETTINGS = "the connection has session settings that no replica accepts"

_COUNTS = "a lock, state of the Postgres session or what a replica refuses needs the primary"


def decide(statement: Statement, state: State) -> Decision:
    """What to do with the statement in this state."""
    if state.promoted and not state.remote:
        return Decision(action=Action.HERE, why="the server in this region is the primary")
    if statement.kind in _UNSUPPORTED:
        return Decision(action=Action.REFUSE, why=statement.why)
    if state.here and statement.counts_on_primary:
        return Decision(action=Action.MOVE, why=_COUNTS)
    if state.here and statement.changes.refused_in_recovery:
        return Decision(action=Action.MOVE, why="a function that it calls may do what a replica refuses")
    if state.may_leave and statement.kind is Kind.READ and statement.takes_snapshot:
        return Decision(action=Action.MOVE, why=PINNED)
    if state.here:
        return Decision(action=Action.HERE, why="in a read-only transaction")
    if statement.kind in (Kind.SERVER, Kind.UNLISTEN) and not state.failed:
        return Decision(action=Action.HERE, why=statement.why)
    if state.remote:
        return _in_transaction(statement, state)
    return _outside(statement, state)


def _in_transaction(statement: Statement, state: State) -> Decision:
    kind = statement.kind
    if kind in SETTING_CHANGES and not _QUOTING.isdisjoint((statement.name or "").split(",")):
        return Decision(action=Action.REFUSE, why=statement.why)
    if kind is Kind.COMMIT and statement.simple:
        return Decision(action=Action.COMMIT, why="COMMIT")
    if kind is Kind.ROLLBACK and statement.simple:
        return Decision(action=Action.ROLLBACK, why="ROLLBACK")
    if kind in _ABOUT_SAVEPOINTS and statement.simple and (not state.failed or kind is Kind.ROLLBACK_TO):
        return Decision(action=Action.DELAY, why=statement.why)
    return Decision(action=Action.FORWARD, why="in a transaction")


def _outside(statement: Statement, state: State) -> Decision:
    kind = statement.kind
    stays = "the connection has state on the primary" if state.primary_has_state else None
    reads = kind is Kind.READ or statement.read_only
    pinned = stays or (PINNED if state.pinned and reads else None)
    if kind is Kind.READ and statement.shows_setting and state.primary_settings:
        return Decision(action=Action.FORWARD, why=_PRIMARY_SETTINGS)
    if kind is Kind.READ and pinned == PINNED and state.pooled:
        return Decision(action=Action.READ_IF_SHOWN, why=statement.why)
    if kind is Kind.READ:
        return Decision(action=Action.FORWARD if pinned else Action.READ_HERE, why=pinned or statement.why)
    if kind is Kind.BEGIN:
        return _begin(statement, pinned or (_PRIMARY_SETTINGS if state.primary_settings else None))
    if kind is Kind.SET:
        return Decision(action=Action.SET, why=statement.why)
    makes = stays and kind is Kind.SET_LOCAL  # a customized setting exists from then on, even outside a transaction
    if kind in _SAME_ANYWHERE and not (statement.primary_only or makes):
        return Decision(action=Action.HERE, why=f"{statement.why} outside a transaction")
    return Decision(action=Action.FORWARD, why=stays or statement.why)


def _begin(statement: Statement, pinned: str | None) -> Decision:
    if statement.read_only and not pinned:
        return Decision(action=Action.BEGIN_HERE, why="a read-only transaction")
    action = Action.BEGIN if statement.simple else Action.FORWARD
    return Decision(action=action, why=pinned or "a transaction")


def without_asking(decision: Decision) -> Decision:
    """The decision for a read that cannot share a transaction with the question whether its server shows enough."""
    if decision.action is not Action.READ_IF_SHOWN:
        return decision
    return msgspec.structs.replace(decision, action=Action.FORWARD, why=PINNED)
