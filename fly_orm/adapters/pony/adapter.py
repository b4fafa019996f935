"""Wraps Pony's databases.

Pony reads in autocommit mode and begins a transaction before its first write. The routing connection turns that into a
transaction on the primary. Only Pony knows which db_sessions must not read from a replica; its provider tells the
connection.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pony.orm import core

from ...errors import ConfigurationError, NotSupported
from ..base import Adapter, Options, Router, TypeHandler
from .binding import explain_when_bound, route_when_bound
from .entities import EntityHandler, JsonHandler
from .flushing import use_flushing_caches
from .provider import explain_bound, obstacle, route_bound, route_raw_sql
from .wrapped import WrappedPony


class PonyAdapter(Adapter):
    """Keeps the router in an attribute of the database."""

    def wrap(self, database: Any, options: Options) -> Any:
        if not isinstance(database, core.Database):
            raise ConfigurationError(_no_database(database))
        if self.router_of(database) is None:
            self._wrap_database(database, options)
        return database

    def router_of(self, database: Any) -> Router | None:
        router: Router | None = getattr(database, "_fly_orm", None)
        return router

    def why_unrouted(self, database: Any) -> str:
        if not isinstance(database, core.Database):
            return _no_database(database)
        why = _obstacle(database)
        return super().why_unrouted(database) if why is None else f"{why}, so fly_orm cannot route or serve it"

    def type_handlers(self) -> Sequence[TypeHandler]:
        return EntityHandler(), JsonHandler()

    def exception_packages(self) -> Sequence[str]:
        return ("pony.orm",)

    def _wrap_database(self, database: Any, options: Options) -> None:
        topology = options.settings.topology
        if options.on_lag == "raise":
            raise ConfigurationError(
                'Pony repeats a db_session whose commit raises, so that on_lag="raise" would let it write twice; '
                'leave it at on_lag="primary"'
            )
        if core.local.db2cache.get(database) is not None:
            raise ConfigurationError("wrap() was called inside a db_session that uses this database; wrap it before")
        why = _obstacle(database)
        if why is not None and topology.primary_region is not None:
            if topology.is_primary:
                return  # nothing to route: it behaves as without us
            raise NotSupported(f"{why}, so fly_orm cannot route it from region {topology.region!r}")
        database._fly_orm = Router(WrappedPony(database), options)
        if topology.primary_region is not None:
            _route(database, database._fly_orm)
        else:
            _explain(database)


def _no_database(given: Any) -> str:
    return f"wrap() takes a Pony Database, not {given!r}"


def _obstacle(database: Any) -> str | None:
    """Why a database cannot be routed, as a clause; None if it can, as far as is known before it is bound."""
    return None if database.provider is None else obstacle(type(database.provider))


def _route(database: Any, router: Router) -> None:
    use_flushing_caches(database)
    route_raw_sql(database)
    route_when_bound(database, router)  # and if it is bound already, when it is bound anew
    if database.provider is not None:
        route_bound(database.provider, router)


def _explain(database: Any) -> None:
    explain_when_bound(database)
    if database.provider is not None:
        explain_bound(database.provider)
