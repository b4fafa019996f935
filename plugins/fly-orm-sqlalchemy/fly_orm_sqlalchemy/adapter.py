"""Lets ``fly_orm.wrap()`` take an engine of SQLAlchemy's."""

from __future__ import annotations

import weakref
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.orm import Session

from fly_orm.adapters.base import Adapter, Options, Router, TypeHandler, named_like
from fly_orm.errors import ConfigurationError, NotSupported

from .joining import JoinedEngine, Joining
from .objects import ChildrenHandler, NameHandler, ObjectHandler, QueryHandler, RowHandler, RowMappingHandler
from .obstacles import is_asynchronous, no_engine, obstacle, why_not_opened_by_dialect
from .routing import EngineRouting
from .sessions import note_begun
from .wrapped import WrappedEngine

#: An attribute of an engine, its router, and of its dialect, a weak reference to that. An engine that is derived by
#: ``execution_options()`` shares the dialect. Mappers keep dialects for good, with what they have compiled.
_ROUTER = "_fly_orm"


class SQLAlchemyAdapter(Adapter):
    """Keeps the router in an attribute of the engine."""

    def __init__(self) -> None:
        event.listen(Session, "after_begin", note_begun)

    def wrap(self, database: Any, options: Options) -> Any:
        if not _is_engine(database):
            raise ConfigurationError(no_engine(type(database)))
        if self.router_of(database) is None:
            _wrap(database, options)
        return database

    def router_of(self, database: Any) -> Router | None:
        reference = getattr(getattr(database, "dialect", None), _ROUTER, None)
        router: Router | None = None if reference is None else reference()
        return router

    def why_unrouted(self, database: Any) -> str:
        if not _is_engine(database):
            return no_engine(type(database))
        why = obstacle(database)
        return super().why_unrouted(database) if why is None else f"{why}, so fly_orm cannot route or serve it"

    def type_handlers(self) -> tuple[TypeHandler, ...]:
        own = ObjectHandler(), ChildrenHandler(), QueryHandler()
        return *own, RowHandler(), RowMappingHandler(), NameHandler()

    def exception_packages(self) -> tuple[str, ...]:
        return ("sqlalchemy",)


def _is_engine(database: Any) -> bool:
    return isinstance(database, Engine) or is_asynchronous(database)


def _wrap(given: Any, options: Options) -> None:
    topology = options.settings.topology
    if options.on_lag == "raise":
        raise ConfigurationError(
            'on_lag="raise" would let commit() raise although the transaction is committed, and whoever repeats it '
            'would write twice; leave it at on_lag="primary"'
        )
    why, engine = obstacle(given), _own(given)
    if why is not None and topology.primary_region is not None:
        if topology.is_primary:
            return  # nothing to route: it behaves as without us
        raise NotSupported(f"{why}, so fly_orm cannot route it from region {topology.region!r}")
    if why is None and topology.primary_region is not None:
        _check_can_begin(engine)
    wrapped = WrappedEngine(engine)
    router = Router(wrapped, options)
    wrapped.reference = weakref.ref(router)
    setattr(engine, _ROUTER, router)
    setattr(engine.dialect, _ROUTER, wrapped.reference)
    if why is None:
        wrapped.joining = Joining(engine.dialect)
        wrapped.routing = EngineRouting(engine, router, wrapped)
        engine.dispose()  # what the pool holds was opened without us
        engine.__class__ = named_like(type(engine), JoinedEngine, type(engine))


def _own(given: Any) -> Engine:
    """The engine that has a pool of its own, of which others may have been derived by ``execution_options()``."""
    engine = given.sync_engine if is_asynchronous(given) else given
    while hasattr(engine, "_proxied"):
        engine = engine._proxied
    own: Engine = engine
    return own


def _check_can_begin(engine: Engine) -> None:
    problem = why_not_opened_by_dialect(engine)
    if problem is not None:
        raise ConfigurationError(problem)
    checked_out = getattr(engine.pool, "checkedout", None)
    if checked_out is not None and checked_out():
        raise ConfigurationError(
            "wrap() was called while a connection of the engine is in use; wrap an engine before using it"
        )
