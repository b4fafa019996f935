"""Lets all that a thread does with an engine belong to one transaction, which exactly-once functions need."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine
from sqlalchemy.pool import Pool, StaticPool

from fly_orm.errors import NotSupported

from .weak import weak


class Joining:
    """Replaces what a dialect does to begin and to end a transaction. Thread-safe.

    Within a block of :meth:`transaction`, the transactions that the thread begins with the engine are savepoints.
    """

    def __init__(self, dialect: Any) -> None:
        self._begin, self._commit, self._rollback = dialect.do_begin, dialect.do_commit, dialect.do_rollback
        self._thread = threading.local()
        dialect.do_begin, dialect.do_commit, dialect.do_rollback = map(weak, (self.begin, self.commit, self.rollback))

    @contextmanager
    def transaction(self, engine: Engine) -> Iterator[Any]:
        """A block in a transaction, which is committed at its end, on the psycopg2 connection that it returns."""
        with engine.connect() as connection, connection.begin():
            driver: Any = connection.connection.dbapi_connection
            self._thread.block = _Block(driver, engine)
            try:
                yield driver
            finally:
                self._thread.block = None

    @property
    def pool(self) -> Pool | None:
        """The pool that the calling thread takes connections from in such a block; None outside of one."""
        block = self._block
        return None if block is None else block.pool

    def begin(self, connection: Any) -> None:
        """Begin a transaction."""
        block = self._block
        self._begin(connection) if block is None else block.begin(connection)

    def commit(self, connection: Any) -> None:
        """Commit it."""
        block = self._block
        self._commit(connection) if block is None else block.end(connection, "RELEASE {0}")

    def rollback(self, connection: Any) -> None:
        """Roll it back."""
        block = self._block
        self._rollback(connection) if block is None else block.end(connection, "ROLLBACK TO {0}; RELEASE {0}")

    @property
    def _block(self) -> _Block | None:
        return getattr(self._thread, "block", None)


class _Block:
    """The savepoints that are open, the last one on top, with the pool's proxies that have begun them."""

    def __init__(self, driver: Any, engine: Engine) -> None:
        self.pool = StaticPool(lambda: driver, dialect=engine.dialect, reset_on_return=None)
        self._open: list[Any] = []

    def begin(self, connection: Any) -> None:
        self._open.append(connection)
        self._execute(connection, "SAVEPOINT {0}")

    def end(self, connection: Any, sql: str) -> None:
        if self._open and self._open[-1] is connection:
            self._execute(connection, sql)
            self._open.pop()
        elif any(each is connection for each in self._open):
            raise NotSupported(
                "a function that is executed exactly once has ended a transaction before another one that it began "
                "later; let it use one Session or Connection at a time"
            )

    def _execute(self, connection: Any, sql: str) -> None:
        cursor = connection.cursor()
        try:
            cursor.execute(sql.format(f"fly_orm_{len(self._open)}"))
        finally:
            cursor.close()


class JoinedEngine(Engine):
    """Goes in front of an engine's own class. Within such a block, it has another pool in the calling thread."""

    if not TYPE_CHECKING:

        @property
        def pool(self) -> Pool:
            return self._fly_orm.wrapped.joining.pool or self.__dict__["pool"]

        @pool.setter
        def pool(self, pool: Pool) -> None:
            self.__dict__["pool"] = pool
