"""Keeps a transaction of fly_orm's open while the application's code runs in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..classify import Kind, Statement
from ..errors import NotSupported


class Hold:
    """What a connection's cursors ask before each statement."""

    def __init__(self, why: str) -> None:
        """``why`` names what the transaction is for."""
        self._why = why
        self.ended = False
        """Whether the code has rolled the transaction back."""

    def check(self, statement: Statement) -> None:
        """Raise NotSupported for a statement that commits, and for one that would run outside of the transaction."""
        if statement.kind is Kind.COMMIT or statement.ends_transaction or statement.kind is Kind.TWO_PHASE:
            self.refuse_commit()
        if statement.kind is Kind.ROLLBACK:
            self.ended = True
        elif self.ended and not statement.discards_all:  # with which Pony gives a connection back
            raise NotSupported(
                f"{self._why} has rolled back its transaction, so that what it does now could not be recorded; let it "
                "raise an error, or use a savepoint (a nested atomic() of peewee's)"
            )

    def refuse_commit(self) -> None:
        """Raise NotSupported."""
        raise NotSupported(
            f"{self._why} runs in one transaction, which is committed when it returns, so it must not commit itself; "
            "leave out the commit, or exactly_once"
        )


@contextmanager
def held(connection: Any, why: str) -> Iterator[None]:
    """A block in which nothing that runs on the connection can commit, if it is one that checks its statements."""
    if not hasattr(connection, "hold"):
        yield
        return
    connection.hold = Hold(why)
    try:
        yield
    finally:
        connection.hold = None
