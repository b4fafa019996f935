"""``wrap()``: hands a database object to the adapter that knows its ORM."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import Any, TypeVar

from .errors import ConfigurationError, check_choice
from .routing.options import OnLag, Options, Reads
from .routing.router import Router
from .runtime.runtime import Runtime, default_runtime
from .sessions.wait import WAITS, Wait
from .settings import Settings

D = TypeVar("D")

#: The adapter of each ORM, by the package that its database classes derive from. Imported only when one is wrapped.
_ADAPTERS = {"peewee": "fly_orm.adapters.peewee.adapter", "pony": "fly_orm.adapters.pony.adapter"}


def wrap(
    database: D,
    *,
    name: str | None = None,
    wait: Wait = "write",
    reads: Reads = "replica",
    on_lag: OnLag = "primary",
    rpc_timeout: float | str | None = "default",
    replication_timeout: float | str | None = "default",
    primary_functions: Iterable[str] = (),
    settings: Settings | None = None,
) -> D:
    """The same database object, whose reads now run on this region's replica and whose writes run on the primary.

    Models that are bound to it stay bound. In the primary region, and where no ``PRIMARY_REGION`` is set, it goes on as
    before. Wrapping twice is the same as once. Call it when the application starts, before the database is used.

    ``database`` is a peewee ``PostgresqlDatabase`` (or a subclass of it, a deferred one, or a ``DatabaseProxy``), or a
    Pony ``Database``, bound to PostgreSQL or not bound yet. ``name`` is what the nodes call it, by default the Postgres
    database's name. ``wait`` says when a caller waits for the replica to show what it wrote: ``"write"``, before the
    write returns; ``"read"``, before its next local read, so that many writes pay one wait; ``"none"``, never.
    :func:`fly_orm.wait_for` says so for a block. ``on_lag`` says what happens if the replica has not caught up within
    ``replication_timeout``: the reads go to the ``"primary"`` until it has, or the call that waits has to ``"raise"``
    ReplicationTimeout, although the write is committed. ``reads="primary"`` lets every read run on the primary, for
    data that must not be old; :func:`fly_orm.primary` does so for a block. ``rpc_timeout`` bounds each request to the
    primary region and ``replication_timeout`` each wait for the replica, in seconds; None is no limit, and the defaults
    come from the environment. ``primary_functions`` names SQL functions whose calls need the primary.

    Raises ConfigurationError for settings that are wrong, and NotSupported in a secondary region for a database that
    cannot be routed. Not thread-safe.
    """
    check_choice("wait", wait, *WAITS)
    check_choice("reads", reads, "replica", "primary")
    check_choice("on_lag", on_lag, "primary", "raise")
    runtime = default_runtime() if settings is None else Runtime(settings)
    timeouts = {"rpc_timeout": rpc_timeout, "replication_timeout": replication_timeout}
    given = {key: value for key, value in timeouts.items() if not isinstance(value, str)}
    options = Options(
        runtime=runtime,
        settings=runtime.settings.with_timeouts(**given),
        name=name,
        wait=wait,
        reads=reads,
        on_lag=on_lag,
        primary_functions=tuple(primary_functions),
    )
    wrapped: D = _adapter(database).wrap(database, options)
    return wrapped


def router_of(database: Any) -> Router:
    """The router of a database, wrapping it first if nobody has."""
    adapter = _adapter(database)
    router: Router | None = adapter.router_of(database)
    if router is None:
        router = adapter.router_of(wrap(database))
    if router is None:
        raise ConfigurationError(adapter.why_unrouted(database))
    return router


def _adapter(database: Any) -> Any:
    packages = [cls.__module__.partition(".")[0] for cls in type(database).__mro__]
    for package, module in _ADAPTERS.items():
        if package in packages:
            return import_module(module)
    raise ConfigurationError(
        f"wrap() takes a database object of {' or '.join(_ADAPTERS)}, not {type(database).__module__}."
        f"{type(database).__qualname__}"
    )
