"""Lets nodes and checks take a connection factory."""

from __future__ import annotations

from typing import Any

from ...errors import ConfigurationError
from ..base import Adapter, Options, Router
from .factory import NO_DSN, ConnectionFactory


class FactoryAdapter(Adapter):
    """A factory is routed from the beginning. It can be served if it says which database it stands for."""

    def wrap(self, database: Any, options: Options) -> Any:
        if not isinstance(database, ConnectionFactory):
            raise ConfigurationError(f"wrap() takes the database object of an ORM, not {database!r}")
        return database

    def router_of(self, database: Any) -> Router | None:
        return None if database.dsn is None else database.router()

    def why_unrouted(self, database: Any) -> str:
        return NO_DSN
