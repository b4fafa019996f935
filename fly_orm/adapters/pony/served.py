"""A statement that was sent already, as Pony executes it."""

from __future__ import annotations

from typing import Any

from ...driver.batching import show
from ...protocol.messages import Result


class Served(str):
    """The text of a statement, with its result or error."""

    bound: bytes
    """The statement as it was sent."""
    outcome: Result | BaseException

    def __new__(cls, sql: str, bound: bytes, outcome: Result | BaseException) -> Served:
        self = super().__new__(cls, sql)
        self.bound = bound
        self.outcome = outcome
        return self


class ServedCursor:
    """What Pony's provider uses of a cursor. The real one shows the outcome when the statement is executed."""

    def __init__(self, cursor: Any, served: Served) -> None:
        self._cursor = cursor
        self._served = served

    def execute(self, sql: str, arguments: Any = None) -> None:
        show(self._cursor, self._served.bound, self._served.outcome)
        self._served.outcome = Result()  # Pony keeps the text, for its statistics

    executemany = execute

    def fetchone(self) -> Any:
        return self._cursor.fetchone()


class FailedCommit:
    """What Pony's provider uses of a connection to commit, if the COMMIT was sent already and has failed."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def commit(self) -> None:
        raise self._error
