"""``connection_factory()``: routes whatever connects through psycopg2, with an ORM or without one."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from ...errors import ConfigurationError
from ...routing.arguments import OnLag, Reads, SessionFunctions, checked
from ...sessions.wait import Wait

if TYPE_CHECKING:
    from psycopg2 import extensions as ext

    from ...driver.connector import Connector
    from ...routing.router import Router
    from ...settings import Settings
    from .wrapped import WrappedAddress

    class RoutedConnection(ext.connection):
        """What type checkers see of the connections of a factory, whether they are routed or not."""

        defers_transactions: bool


def connection_factory(
    dsn: str | None = None,
    *,
    connection_class: type[ext.connection] | None = None,
    defers_transactions: bool = False,
    name: str | None = None,
    wait: Wait = "write",
    reads: Reads = "replica",
    on_lag: OnLag = "primary",
    exactly_once: bool = False,
    rpc_timeout: float | str | None = "default",
    replication_timeout: float | str | None = "default",
    primary_functions: Iterable[str] = (),
    session_functions: SessionFunctions = (),
    settings: Settings | None = None,
) -> ConnectionFactory:
    """A ``connection_factory`` for psycopg2, whose connections read here and write in the primary region.

    It is for everything that passes this parameter on to ``psycopg2.connect()``: psycopg2 and its pools, SQLAlchemy
    (``connect_args``), Django (``OPTIONS``). Each connection leads to the server of this region, whose address it is
    given as usual. The connections of a process to one database share what is known about its servers, whichever
    factory with the same arguments has made them. Where no ``PRIMARY_REGION`` is set, they are not routed.

    Making a factory imports no driver and reads no settings; the first connection does. A factory can be copied and
    pickled, any thread may use it, and so may forked processes. ``docs/connection-factory.md`` explains its use.

    ``dsn``
        The connection string of the database that the factory stands for where fly_orm takes a database: in
        ``fly-orm serve module:factory``, :func:`fly_orm.serve` and :func:`fly_orm.check`. Connections have their own.

    ``connection_class``
        The class that connections derive from, in place of psycopg2's own, such as
        ``psycopg2.extras.LoggingConnection``.

    ``defers_transactions``
        Whether the transactions that psycopg2 begins by itself, outside of autocommit, begin on the primary only with
        the first statement that needs it, so that reads before it run on the replica. These may be older than what is
        on the primary. This is the initial value of the attribute of that name which each connection has. It has no
        effect on transactions that read one snapshot (REPEATABLE READ, SERIALIZABLE).

    All other arguments are those of :func:`fly_orm.wrap`. An ORM or a framework that repeats what has raised would
    write twice with ``on_lag="raise"``.

    Raises ConfigurationError if an argument is wrong. When it is called, and so from ``psycopg2.connect()``, the
    factory raises ConfigurationError if a setting or the ``dsn`` is wrong, and psycopg2's errors if it cannot connect.
    """
    arguments = checked(
        name=name,
        wait=wait,
        reads=reads,
        on_lag=on_lag,
        exactly_once=exactly_once,
        rpc_timeout=rpc_timeout,
        replication_timeout=replication_timeout,
        primary_functions=primary_functions,
        session_functions=session_functions,
    )
    return ConnectionFactory(
        dsn,
        arguments=arguments,
        connection_class=connection_class,
        defers_transactions=bool(defers_transactions),
        settings=settings,
    )


class ConnectionFactory:
    """What :func:`connection_factory` returns. Thread-safe and fork-safe; a copy is the same factory.

    A subclass may have another :attr:`wrapped_class`.
    """

    def __init__(self, dsn: str | None, **given: Any) -> None:
        self.dsn = dsn
        self.defers_transactions: bool = given["defers_transactions"]
        """The initial value of that attribute of the connections."""
        self._given = given
        self._connectors: dict[Router, Connector] = {}

    def __call__(self, dsn: str, *args: Any) -> RoutedConnection:
        """A new connection to the server that ``dsn`` leads to, as psycopg2's own class would make it."""
        from .routers import plain_class

        router, own = self.router(dsn), self._given["connection_class"]
        wrapped: Any = router.wrapped
        connector = self._connectors.get(router) or self._connectors.setdefault(router, self._connector(router))
        if router.settings.topology.primary_region is None:
            own = plain_class(own)
        wrapped.opens(dsn)
        connection: RoutedConnection = connector.open(partial(_made, dsn, args), connection_factory=own)
        wrapped.opened(dsn, connection)
        return connection

    def router(self, dsn: str | None = None) -> Router:
        """The router of the database that ``dsn`` leads to, or else of the one that the factory stands for.

        All connections of this process to that database which are made with the same arguments have it. Raises
        ConfigurationError if there is neither.
        """
        from .routers import routers

        dsn = self.dsn if dsn is None else dsn
        if dsn is None:
            raise ConfigurationError(NO_DSN)
        return routers.to(dsn, self.wrapped_class, self._given["arguments"], self._given["settings"])

    @property
    def wrapped_class(self) -> type[WrappedAddress]:
        """The class by which the router sees the database."""
        from .wrapped import WrappedAddress

        return WrappedAddress

    def _connector(self, router: Router) -> Connector:
        from ...driver.connector import Connector

        return Connector(router, defers_transactions=self.defers_transactions)

    def __copy__(self) -> ConnectionFactory:
        return self

    def __deepcopy__(self, memo: Any) -> ConnectionFactory:
        return self

    def __reduce__(self) -> Any:
        return _restored, (type(self), self.dsn, self._given)

    def __repr__(self) -> str:
        deferring = "defers_transactions=True" if self.defers_transactions else ""
        return f"fly_orm.connection_factory({deferring})"


#: What to do about a factory that does not say which database it stands for.
NO_DSN = (
    "this connection factory does not say which database it stands for; give it the connection string of this region's "
    'server: fly_orm.connection_factory("dbname=shop host=…")'
)


def _restored(cls: type[ConnectionFactory], dsn: str | None, given: dict[str, Any]) -> ConnectionFactory:
    return cls(dsn, **given)


def _made(dsn: str, args: tuple[Any, ...], *, connection_factory: Any) -> Any:
    return connection_factory(dsn, *args)
