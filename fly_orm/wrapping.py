"""``wrap()``: hands a database object to the adapter that knows it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from .adapters.loading import adapter_of
from .errors import ConfigurationError
from .routing.arguments import OnLag, Reads, SessionFunctions, checked
from .routing.options import options_of
from .routing.router import Router
from .runtime.runtime import Runtime, default_runtime
from .sessions.wait import Wait
from .settings import Settings

D = TypeVar("D")


def wrap(
    database: D,
    *,
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
) -> D:
    """The same database object, which now reads from this region's replica and writes in the primary region.

    Call it once, when the application starts and before it uses the database. Everything that refers to the object,
    such as models, goes on working unchanged. The object stays wrapped if its address changes later, and a wrapped
    proxy wraps each database that it is initialized with. In the primary region the object behaves as before, as it
    does where no ``PRIMARY_REGION`` is set. Wrapping an object again changes nothing, whatever the arguments. Not
    thread-safe.

    ``database``
        An object of the ORM's own database class, whose address, in each region, is that of the server in that region.
        The object may still be unbound or deferred. An installed adapter decides what can be wrapped:
        :mod:`fly_orm.adapters` describes those that come with fly_orm, and ``docs/adapters.md`` how to write one.

    ``name``
        What the nodes call the database, which has to be the same in every region. By default, the name of the Postgres
        database. Give one if the regions name their databases differently, or if a node serves two of one name.

    ``wait``
        When the caller waits for the replica to catch up with its writes. With ``"write"``, a write returns when the
        local replica has replayed it. With ``"read"``, it returns when it is committed, and the session's next read
        waits, so that many writes cost one wait. With ``"none"``, nothing waits, and a session may not see its own
        writes. :func:`fly_orm.wait_for` overrides this for a block.

    ``reads``
        Where reads run. ``"replica"`` is the local replica, as far as the session's own writes allow. ``"primary"`` is
        for data that must never be stale: every read is a round trip to the primary region. :func:`fly_orm.primary`
        does the same for a block.

    ``on_lag``
        What happens when the replica has not caught up after ``replication_timeout``. With ``"primary"``, the session's
        reads go to the primary until it has, and a warning is logged. With ``"raise"``, the waiting statement or
        function call raises :class:`~fly_orm.ReplicationTimeout`, although the write is committed.

    ``exactly_once``
        Whether each write is recorded in a ledger, a table that ``fly-orm ledger create`` makes, in the same
        transaction. If the reply to a write does not arrive, fly_orm then finds out what became of it, and returns its
        result, or raises an error that says that it was not executed and never will be. This costs the primary one
        query more for each write, and no round trip. See ``docs/exactly-once.md``.

    ``rpc_timeout``
        How many seconds a request to the primary region may take, from 0 up; None for no limit. By default
        ``FLY_ORM_RPC_TIMEOUT``. A text such as ``"1.5"`` or ``"none"`` is read as that variable is.

    ``replication_timeout``
        How many seconds a session waits for the replica, from 0 up (0 only looks); None for no limit. By default
        ``FLY_ORM_REPLICATION_TIMEOUT``. A text is read as that variable is.

    ``primary_functions``
        Names of SQL functions that write, or that have to run on the primary for another reason, such as a request over
        HTTP that must not be made twice. A ``SELECT`` that calls one of them, or a function that does, goes to the
        primary. What a replica refuses to execute goes there anyway.

    ``session_functions``
        Names of SQL functions that change the Postgres session, but whose definitions do not show it, such as functions
        in C or Python. A call of one runs on the primary, and the connection stays there until ``DISCARD ALL``, or
        until it is closed. If a function changes nothing but session settings, name these, too, in a mapping such as
        ``{"set_tenant": ["app.tenant"]}`` (with None for a function that changes more): reads then go on running on the
        replica, which gets the settings as well. Functions in SQL and PL/pgSQL need not be named; see
        ``docs/session-state.md``.

    ``settings``
        The region, the nodes and the secret, in place of those that :func:`fly_orm.configure` or the environment gives.

    Raises ConfigurationError if an argument or a setting is wrong, if no adapter knows the object, or if the object is
    in use already; and NotSupported, outside of the primary region, if the database does not connect to PostgreSQL
    through psycopg2.
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
    options = options_of(arguments, default_runtime() if settings is None else Runtime(settings))
    wrapped: D = adapter_of(database).wrap(database, options)
    return wrapped


def router_of(database: Any) -> Router:
    """The router of a database. ConfigurationError if it has none, such as because it was not wrapped."""
    adapter = adapter_of(database)
    router = adapter.router_of(database)
    if router is None:
        raise ConfigurationError(adapter.why_unrouted(database))
    return router


def router_of_wrapped(database: Any) -> Router:
    """The same of a database that is wrapped first if it has not been. For what goes on to use the database."""
    if adapter_of(database).router_of(database) is None:
        wrap(database)
    return router_of(database)
