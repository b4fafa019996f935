"""What the router asks of the database object that was wrapped."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

from ..errors import NotSupported


class WrappedDatabase(Protocol):
    """A wrapped database object, as its adapter presents it to the router.

    Derive from this class: what you do not define then does nothing, as is right for a library that neither defers
    writes nor caches results. Any thread may call any of these methods, and "open" means what the calling thread has
    open: connections of other threads are not touched.
    """

    exceptions: Any = None
    """A module, or another namespace, with the exception names of the DB-API (PEP 249) that callers of this database
    catch besides psycopg2's. fly_orm's own errors are then instances of its ``OperationalError`` or
    ``NotSupportedError`` as well. None if callers catch psycopg2's classes."""

    @abstractmethod
    def name(self) -> str:
        """The name of the Postgres database. ConfigurationError as long as the object has not been told."""

    @abstractmethod
    def connect(self) -> Any:
        """A new psycopg2 connection with the parameters of the database, in autocommit mode, and not routed.

        fly_orm uses it to ask the local server about its state, and on a node to execute what others forward. Pass the
        parameters through :func:`~fly_orm.adapters.base.unrouted`. The caller closes the connection. psycopg2's errors
        pass; NotSupported if connections of this object cannot be routed. Here and below, a connection may be a proxy
        around one, as monitoring agents make them.
        """

    @abstractmethod
    def in_transaction(self) -> bool:
        """Whether the calling thread has a transaction open, in which an ``@on_primary`` function must not be called.

        Reads that the library made in autocommit mode do not count.
        """

    comes_later: bool = False
    """Whether the database may be created while a node serves it, so that the node does not warn that it is missing."""
    transaction_ends_by: str = ""
    """What the message says to the caller of such a function: how a transaction ends that is open, as a clause."""

    @abstractmethod
    def close_thread_connections(self) -> None:
        """Close the connections that the calling thread has open. Called when a thread of a node ends."""

    def function_scope(self) -> AbstractContextManager[None]:
        """A context manager around a function that the calling thread runs on behalf of another node.

        When it exits, no transaction is open, so that the next function inherits nothing. Connections may stay open for
        it, with the session settings of a new one. If entering raises, the function does not run.
        """
        return nullcontext()

    def in_block(self) -> bool:
        """Whether the calling thread is in a block that the library asks for, such as a db_session of Pony's."""
        return False

    def allow_block(self) -> None:
        """Let the function that runs here do without such a block, since its caller is in one elsewhere.

        Called within :meth:`function_scope`, at whose end the block ends that was opened when the function needed one.
        """
        return

    def transaction(self) -> AbstractContextManager[Any]:
        """A block in a transaction of the calling thread's, on the psycopg2 connection that it returns.

        All that the library executes in the block belongs to the transaction. It is committed at the end, after what
        was deferred has been sent, and rolled back if the block raises. Exactly-once functions run in such a block.
        NotSupported, by default, for a library whose adapter cannot do this.
        """
        raise NotSupported(
            "the adapter of this database does not support exactly_once functions, and nothing was executed; call the "
            "function without exactly_once and outside of fly_orm.operation()"
        )

    def flush(self) -> None:
        """Send the writes that the library has deferred. Called when such a function has returned, within its scope.

        What this raises counts as raised by the function.
        """
        return

    def clear_cached_results(self) -> None:
        """Forget the query results that are cached for the caller. Another node may have changed what they show."""
        return
