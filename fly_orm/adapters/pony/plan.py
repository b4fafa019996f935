"""What a flush of Pony's is going to write, sent in one request before Pony asks for the first result.

Pony builds each statement from the state of an object, and changes that state once it has the result. So the statements
are captured by calling Pony's own methods up to the point where they execute one; all of them are sent; and then Pony
runs as ever, and finds each result, or error, where it executes the statement. All that it does with them, its
exceptions and its session cache, is its own.
"""

from __future__ import annotations

import sys
from collections import Counter, deque
from typing import Any, NamedTuple

from pony.orm import core

from ...classify import Statement
from ...driver.batching import error_of, execute_batch
from ...errors import FlyOrmError, OutcomeUnknown, ResultLost, TransactionLost
from ...protocol.messages import Batch, Done, Step
from ..base import RoutingConnection
from .served import Served
from .writes import Captured, Write, has_hooks, writes_of

#: The most that one request carries, unless a single write is longer.
_MAX_STATEMENTS, _MAX_BYTES = 1000, 4 * 1024 * 1024
#: The most ids of objects in the session cache that a request mentions, in all and for each round trip that it saves.
_MAX_KNOWN, _KNOWN_PER_WRITE = 100_000, 1000
#: Of the elements that a request may have, statements and their parts may take half, and ids a quarter.
_PER_STATEMENT, _PER_ID = 16, 4


class _Bound(NamedTuple):
    """A write as it is sent."""

    sql: str
    statement: Statement
    steps: list[Step]
    makes_key_of: Any
    """The root entity of the object whose key it makes, or None."""


class Plan:
    """The writes of one flush, in the order in which Pony executes them."""

    def __init__(self, cache: Any, modified_m2m: dict[Any, Any], *, commits: bool) -> None:
        """``commits`` says that Pony commits as soon as it has flushed."""
        self.capturing = False
        """Whether a statement is captured, and not executed."""
        self._cache = cache
        self._modified_m2m = modified_m2m
        self._commits = commits
        self._left: deque[Write] | None = None
        """What was not sent yet; None before the first statement."""
        self._sent: deque[Served] = deque()

    def next(self, sql: str) -> str:
        """The statement that Pony executes next; with its result, if it was sent together with others."""
        if not self._sent:
            if self._left is None:
                self._commits = self._commits and not has_hooks(self._cache)
                self._left = deque(writes_of(self._cache, self._modified_m2m))
            self._send(sql)
        if not self._sent:
            return sql
        served = self._sent.popleft()
        if served != sql:
            raise AssertionError(f"Pony executes {sql!r}, and not {served!r} as expected; report this to fly_orm")
        return served

    def _send(self, sql: str) -> None:
        """Send the next writes, the first of which Pony is about to execute. Nothing is sent if it is another one."""
        left = self._left
        if not left:
            return
        connection = self._cache.prepare_connection_for_query_execution()
        if not isinstance(connection, RoutingConnection):
            left.clear()
            return
        most = connection.router.settings.max_elements
        bound = self._capture(connection, min(_MAX_STATEMENTS, most // _PER_STATEMENT))
        if not bound or bound[0].sql != sql:
            left.clear()
            return
        known = self._known(bound, min(_MAX_KNOWN, most // _PER_ID))
        commits = self._commits and len(bound) == len(left) and self._is_alone()
        if len(bound) < 2 and not commits:
            left.popleft()  # Pony sends it by itself
            return
        batch = Batch(steps=[step for each in bound for step in each.steps], commits=commits, known=known)
        try:
            done = execute_batch(connection, batch, bound[0].statement)
        except FlyOrmError as error:
            self._failed(error, bound[0], commits=commits)
        else:
            self._take(done, bound)

    def _capture(self, connection: RoutingConnection, max_statements: int) -> list[_Bound]:
        """The next writes that can be sent together."""
        bound: list[_Bound] = []
        count = size = 0
        for each in self._left or ():
            if not each.is_known or (made := self._bind(each, connection)) is None:
                break
            count, size = count + len(made.steps), size + sum(len(step.statement) for step in made.steps)
            if bound and (count > max_statements or size > _MAX_BYTES):
                break
            bound.append(made)
        return bound

    def _known(self, bound: list[_Bound], max_known: int) -> dict[str, list[bytes]]:
        """The keys that the primary must not make for these writes, without those writes that would need too many."""
        while True:
            makers = Counter(each.makes_key_of for each in bound if each.makes_key_of is not None)
            keys = {root: self._cache.indexes[root._pk_attrs_] for root in makers}
            share = max_known // max(len(makers), 1)
            costly = {root for root in makers if len(keys[root]) > min(_KNOWN_PER_WRITE * makers[root], share)}
            if not costly:
                return {root.__name__: [str(key).encode() for key in keys[root]] for root in makers}
            del bound[next(at for at, each in enumerate(bound) if each.makes_key_of in costly) :]

    def _bind(self, each: Write, connection: RoutingConnection) -> _Bound | None:
        """A write as it is sent; None if it has to be sent by itself, or Pony is going to raise an error instead."""
        self.capturing = True
        try:
            each.execute()
        except Captured as captured:
            sql, arguments = captured.sql, captured.arguments
        except Exception:  # noqa: BLE001  # Pony raises it again when it comes to this write
            return None
        finally:
            self.capturing = False
        statement = connection.statement(sql)
        if not statement.is_plain_write:  # it may change the Postgres session, and the like
            return None
        root = None if each.makes_key_of is None else each.makes_key_of._root_
        unlike = "" if root is None else root.__name__
        cursor = connection.cursor()
        try:
            rows = arguments if type(arguments) is list else [arguments]
            bound = [cursor.mogrify(sql, row) for row in rows]
        except Exception:  # noqa: BLE001  # as above
            return None
        steps = [Step(statement=each_bound, least_rows=each.least_rows, unlike=unlike) for each_bound in bound]
        return _Bound(sql, statement, steps, root)

    def _take(self, done: Done | None, bound: list[_Bound]) -> None:
        """Keep the results of the writes that were executed, for Pony to find. The others are sent later."""
        left = self._left
        if left is None or done is None or done.results is None:
            self._left = deque()
            return
        results, error = deque(done.results), error_of(done)
        for each in bound:
            own = [results.popleft() for _ in each.steps[: len(results)]]
            if len(own) < len(each.steps):
                if error is not None:
                    self._sent.append(Served(each.sql, each.steps[len(own)].statement, error))
                return
            left.popleft()
            self._sent.append(Served(each.sql, each.steps[-1].statement, own[-1]))
        self._cache.failed_commit = error

    def _failed(self, error: FlyOrmError, first: _Bound, *, commits: bool) -> None:
        """Let Pony find an error where it executes the first statement; or raise the one of the COMMIT."""
        self._left = deque()
        if commits and isinstance(error, ResultLost):
            raise ResultLost(str(error)) from error  # it is not an error of the driver's: Pony must not try again
        if commits and isinstance(error, OutcomeUnknown | TransactionLost):
            core.transact_reraise(core.CommitException, [sys.exc_info()])  # as if Pony had sent the COMMIT by itself
        self._sent.append(Served(first.sql, first.steps[0].statement, error))

    def _is_alone(self) -> bool:
        """Whether Pony's commit() has nothing else to commit, so that nothing can keep it from committing this."""
        others = (cache for cache in core.local.db2cache.values() if cache is not self._cache)
        return not any(other.modified or other.in_transaction for other in others)
