"""What the router asks of the ORM's database object that was wrapped."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Protocol


class WrappedDatabase(Protocol):
    """A database object of some ORM, as its adapter presents it. Any thread may call."""

    def name(self) -> str:
        """The name of the Postgres database; ConfigurationError while it is not known yet."""
        ...

    def connect(self) -> Any:
        """A new driver connection with the database's own parameters, in autocommit, that is not routed."""
        ...

    def in_transaction(self) -> bool:
        """Whether the calling thread has a transaction open."""
        ...

    def call(self) -> AbstractContextManager[None]:
        """A block in which this thread runs a function for a caller elsewhere, as if for a request of its own.

        At its end no transaction is open. A connection may stay open for the thread's next call.
        """
        ...

    def flush(self) -> None:
        """Send what the ORM has put off, now that such a function has returned; raises what comes of it."""
        ...

    def forget_cached_results(self) -> None:
        """Forget the results of queries that the caller's session has cached: a function elsewhere may have written."""
        ...

    def disconnect(self) -> None:
        """Close what the calling thread has open."""
        ...
