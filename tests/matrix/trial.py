"""One cell of the matrix: a call, the fault that hits it at a moment, and what came of it."""

from __future__ import annotations

import itertools
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from fly_orm import FlyOrmError, NotDelivered, OutcomeUnknown, Refused
from tests.matrix.cells import EXPECTED, PROMISED, Cell, with_ledger
from tests.matrix.faults import FAULTS, Fault
from tests.matrix.link import Weather
from tests.matrix.moments import MOMENTS, BeforeSend, Moment
from tests.matrix.operations import OPERATIONS, Operation
from tests.matrix.world import World
from tests.support.hurrying import hurried
from tests.support.waiting import PATIENCE, until

#: Seconds by which a call may exceed its deadline.
GRACE = 10.0
REPLICATION_TIMEOUT = 5.0
_numbers = itertools.count(1)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What the caller saw, and what is stored once nothing runs any more."""

    seen: str
    """The class of the error; ``done`` if there was none."""
    stored: int
    error: BaseException | None = None
    seconds: float = 0.0
    settled: int | None = None
    """What was stored when the error said that this does not change any more, if it could have changed."""
    later: BaseException | None = None
    """The error of what had to follow a call that succeeded, such as the COMMIT."""


def check(world: World, cell: Cell, *, ledger: bool = False) -> None:
    """Let the fault of this cell happen, and compare what comes of it with what is expected, and was promised."""
    outcome, expected = attempt(world, cell, ledger=ledger), (with_ledger(cell) if ledger else EXPECTED[cell])
    error = outcome.error or outcome.later
    assert outcome.seen in expected.seen, error
    assert outcome.stored == expected.stored, error
    assert outcome.stored in PROMISED[outcome.seen], error
    assert outcome.settled in (None, outcome.stored), f"it was not final when the error said so: {error}"
    limit = _rpc_timeout(cell, ledger) + (REPLICATION_TIMEOUT if outcome.error is None else 0)
    assert outcome.seconds <= limit + GRACE


def _rpc_timeout(cell: Cell, ledger: bool) -> float:
    """Seconds that the call may take. With a ledger, a quarter of them is for asking what has happened.

    A long request takes a while before anything can happen to it.
    """
    least = 6.0 if ledger else 5.0 if MOMENTS[cell.moment].padding else 0.0
    return max(least, FAULTS[cell.fault].rpc_timeout)


def attempt(world: World, cell: Cell, *, ledger: bool = False) -> Outcome:
    """Let the fault of this cell happen, and return what came of it. Afterwards, all is as before."""
    operation, fault, moment = OPERATIONS[cell.operation], FAULTS[cell.fault], MOMENTS[cell.moment]()
    name = f"row-{next(_numbers)}-{time.time_ns()}"
    with (
        world.caller(ledger=ledger, rpc_timeout=PATIENCE, replication_timeout=REPLICATION_TIMEOUT) as db,
        ThreadPoolExecutor(1) as thread,
    ):

        def on_thread(work: Any, *arguments: Any) -> Any:
            return thread.submit(work, *arguments).result(PATIENCE)

        try:
            on_thread(db.execute_sql, "INSERT INTO item (name) VALUES ('warm')")
            on_thread(operation.prepare, db, name)
            moment.arm(world, operation, name, ledger=ledger)
            with hurried(db, _rpc_timeout(cell, ledger)):
                error, seconds = _hit(world, moment, operation, fault, thread, db, name)
                settled = _look_when_settled(world, name, error) if fault.delays or moment.delays else None
                moment.settle(world, fault)
                later = None if error else _error(thread.submit(operation.finish, db))
            world.mend()
            stored = world.stored(name)
            until(lambda: on_thread(_works, db, operation), "the connection does not work")
            until(lambda: not world.busy(), "something is left on the primary")
            until(lambda: not _channels_in_use(db), "a channel is left in use")
        finally:
            world.to_node.change(Weather.FAIR)
            thread.submit(db.close).result(PATIENCE)
            world.mend()
    return Outcome(seen=_seen(error, later), stored=stored, error=error, settled=settled, later=later, seconds=seconds)


def _hit(
    world: World, moment: Moment, operation: Operation, fault: Fault, thread: ThreadPoolExecutor, db: Any, name: str
) -> tuple[BaseException | None, float]:
    """Make the call, and have the fault happen at the moment. Returns the error, if any, and the seconds it took."""
    if isinstance(moment, BeforeSend):
        fault.strike(world)
    padding = "x" * moment.padding
    ended = started = time.monotonic()

    def run() -> None:
        nonlocal ended
        try:
            operation.run(db, name, padding)
        finally:
            ended = time.monotonic()

    call = thread.submit(run)
    if not isinstance(moment, BeforeSend):
        moment.wait(world)
        if moment.padding:
            started = time.monotonic()  # the deadline begins when all that has been prepared
        fault.strike(world)
    moment.go_on(world, fault)
    error = _error(call)
    return error, ended - started


def _look_when_settled(world: World, name: str, error: BaseException | None) -> int | None:
    """What is stored once the error says that this is final; None if it does not."""
    if not isinstance(error, OutcomeUnknown) or error.settled_after is None:
        return None
    time.sleep(error.settled_after)
    return world.stored(name)


def _error(call: Future[Any]) -> BaseException | None:
    return call.exception(PATIENCE)


def _seen(error: BaseException | None, later: BaseException | None) -> str:
    if error is None:
        return "done" if later is None else f"done, then {_seen(later, None)}"
    if isinstance(error, FlyOrmError):
        return next(each.__name__ for each in type(error).__mro__ if each.__module__ == "fly_orm.errors")
    return type(getattr(error, "orig", None) or error).__name__


def _works(db: Any, operation: Operation) -> bool:
    """Whether the same connection works again, at the latest after a rollback. A busy machine may need more time."""
    if operation.in_transaction:
        db.rollback()
    try:
        db.execute_sql("INSERT INTO item (name) VALUES ('next')")
    except (NotDelivered, Refused, OutcomeUnknown):
        return False
    return bool(db.execute_sql("SELECT count(*) FROM item WHERE name = 'next'").fetchone()[0])


def _channels_in_use(db: Any) -> int:
    channels = db._fly_orm.forwarder.directory._channels.values()
    return sum(each._pool.size - len(each._pool._idle) for each in channels)
