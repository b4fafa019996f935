"""Wraps peewee's databases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import peewee

from ...errors import ConfigurationError, NotSupported
from ..base import Adapter, Options, Router, TypeHandler
from .composing import compose
from .models import ModelHandler
from .routing import leave_unrouted, obstacle, route
from .wrapped import WrappedPeewee


class PeeweeAdapter(Adapter):
    """Keeps the router in an attribute of the database. A proxy has the router of the database that it stands for."""

    def wrap(self, database: Any, options: Options) -> Any:
        if isinstance(database, peewee.Proxy):
            return self._wrap_proxy(database, options)
        if not isinstance(database, peewee.Database):
            raise ConfigurationError(_no_database(database))
        if self.router_of(database) is None:
            self._wrap_database(database, options)
        return database

    def router_of(self, database: Any) -> Router | None:
        return getattr(_target(database), "_fly_orm", None)

    def why_unrouted(self, database: Any) -> str:
        target = _target(database)
        if target is None:
            return f"this {type(database).__name__} has no database yet; call its initialize() first"
        if not isinstance(target, peewee.Database):
            return _no_database(target)
        why = obstacle(target)
        return super().why_unrouted(target) if why is None else f"{why}, so fly_orm cannot route or serve it"

    def type_handlers(self) -> Sequence[TypeHandler]:
        return (ModelHandler(),)

    def exception_packages(self) -> Sequence[str]:
        return ("peewee",)

    def _wrap_proxy(self, proxy: Any, options: Options) -> Any:
        if not any(isinstance(callback, _WrapsNext) for callback in proxy._callbacks):
            proxy.attach_callback(_WrapsNext(self, proxy, options))
        if proxy.obj is not None:
            self.wrap(proxy.obj, options)
        return proxy

    def _wrap_database(self, database: Any, options: Options) -> None:
        topology = options.settings.topology
        why = obstacle(database)
        if topology.primary_region is None:
            database._fly_orm = Router(WrappedPeewee(database), options)
            if why is None:
                leave_unrouted(database, database._fly_orm)
        elif why is None:
            _close(database)
            database._fly_orm = Router(WrappedPeewee(database), options)
            route(database, database._fly_orm)
            compose(database)
        elif not topology.is_primary:
            raise NotSupported(f"{why}, so fly_orm cannot route it from region {topology.region!r}")


class _WrapsNext:
    """The callback of a wrapped proxy, which wraps every database that the proxy is initialised with."""

    def __init__(self, adapter: PeeweeAdapter, proxy: Any, options: Options) -> None:
        self._adapter = adapter
        self._proxy = proxy
        self._options = options

    def __call__(self, database: Any) -> None:
        if database is None:
            return
        try:
            self._adapter.wrap(database, self._options)
        except BaseException:
            self._proxy.obj = None  # so that nobody uses it unrouted
            raise


def _no_database(given: Any) -> str:
    return f"wrap() takes a peewee database, not {given!r}"


def _target(database: Any) -> Any:
    return database.obj if isinstance(database, peewee.Proxy) else database


def _close(database: Any) -> None:
    """Close the connections that were opened before wrap(), which are not routed."""
    if not database.is_closed():
        if database.in_transaction():
            raise ConfigurationError("wrap() was called inside a transaction; wrap a database before using it")
        database.close()
    close_idle = getattr(database, "close_idle", None)
    if close_idle is not None:
        close_idle()
