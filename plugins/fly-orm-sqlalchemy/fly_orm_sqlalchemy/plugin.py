"""The plug-in that wraps an engine when it is created (SQLAlchemy's manual, CreateEnginePlugin)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import URL, Engine
from sqlalchemy.engine import CreateEnginePlugin

import fly_orm
from fly_orm.errors import ConfigurationError

#: Names of PostgreSQL in a URL that leave the driver open. "postgres" is Fly.io's; SQLAlchemy itself refuses it.
_ANY_DRIVER = frozenset({"postgres", "postgresql"})


class FlyOrmPlugin(CreateEnginePlugin):
    """Wraps the engine that ``create_engine(url, plugins=["fly_orm"], fly_orm={…})`` creates.

    The keyword ``fly_orm`` holds arguments of :func:`fly_orm.wrap`, if there are any. In a URL that names no driver,
    such as ``postgresql://…``, the plug-in chooses psycopg2, the only one whose connections can be routed.
    """

    def __init__(self, url: URL, kwargs: dict[str, Any]) -> None:
        super().__init__(url, kwargs)
        self._is_async = bool(kwargs.get("_is_async"))
        options = kwargs.pop("fly_orm", {})
        if not isinstance(options, Mapping):
            raise ConfigurationError(
                f'create_engine(fly_orm=…) takes a dict of the arguments of wrap(), such as {{"wait": "read"}}; '
                f"got {options!r:.100}"
            )
        self._options = options

    def update_url(self, url: URL) -> URL:
        if url.drivername in _ANY_DRIVER and not self._is_async:
            return url.set(drivername="postgresql+psycopg2")
        return url

    def engine_created(self, engine: Engine) -> None:
        fly_orm.wrap(engine, **self._options)
