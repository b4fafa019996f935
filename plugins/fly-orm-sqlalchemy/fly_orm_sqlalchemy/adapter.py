"""Lets ``fly_orm.wrap()`` take an engine of SQLAlchemy's."""

from __future__ import annotations

import weakref
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from fly_orm.adapters.base import Adapter, Options, Router
from fly_orm.errors import ConfigurationError, NotSupported

from .obstacles import obstacle, why_not_opened_by_dialect
from .routing import EngineRouting
from .wrapped import WrappedEngine

#: An attribute of an engine, its router, and of its dialect, a weak reference to that. An engine that is derived by
#: ``execution_options()`` shares the dialect. Mappers keep dialects for good, with what they have compiled.
_ROUTER = "_fly_orm"


class SQLAlchemyAdapter(Adapter):
    """Keeps the router in an attribute of the engine."""

    def wrap(self, database: Any, options: Options) -> Any:
        if not isinstance(database, Engine | AsyncEngine):
            raise ConfigurationError(
                f"wrap() takes an Engine, not {database!r:.200}; wrap the engine that it uses, after create_engine()"
            )
        if self.router_of(database) is None:
            _wrap(database, options)
        return database

    def router_of(self, database: Any) -> Router | None:
        reference = getattr(getattr(database, "dialect", None), _ROUTER, None)
        router: Router | None = None if reference is None else reference()
        return router

    def why_unrouted(self, database: Any) -> str:
        return f"{obstacle(database)}, so fly_orm cannot route or serve it"

    def exception_packages(self) -> tuple[str, ...]:
        return ("sqlalchemy",)


def _wrap(given: Engine | AsyncEngine, options: Options) -> None:
    topology = options.settings.topology
    if options.on_lag == "raise":
        raise ConfigurationError(
            'on_lag="raise" would let commit() raise although the transaction is committed, and whoever repeats it '
            'would write twice; leave it at on_lag="primary"'
        )
    why, engine = obstacle(given), given.sync_engine if isinstance(given, AsyncEngine) else given
    if why is not None and topology.primary_region is not None:
        if topology.is_primary:
            return  # nothing to route: it behaves as without us
        raise NotSupported(f"{why}, so fly_orm cannot route it from region {topology.region!r}")
    if why is None and topology.primary_region is not None:
        _check_can_begin(engine)
    wrapped = WrappedEngine(engine)
    router = Router(wrapped, options)
    setattr(engine, _ROUTER, router)
    setattr(engine.dialect, _ROUTER, weakref.ref(router))
    if why is None:
        wrapped.routing = EngineRouting(engine, router, wrapped)
        engine.dispose()  # what the pool holds was opened without us


def _check_can_begin(engine: Engine) -> None:
    problem = why_not_opened_by_dialect(engine)
    if problem is not None:
        raise ConfigurationError(problem)
    checked_out = getattr(engine.pool, "checkedout", None)
    if checked_out is not None and checked_out():
        raise ConfigurationError(
            "wrap() was called while a connection of the engine is in use; wrap an engine before using it"
        )
