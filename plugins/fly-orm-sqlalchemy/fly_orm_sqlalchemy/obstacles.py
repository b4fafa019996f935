"""Engines whose connections cannot be routed, and why."""

from __future__ import annotations

import sys
from typing import Any, cast

import psycopg2
from sqlalchemy import Engine
from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2

_PSYCOPG2 = "postgresql+psycopg2://…"
_CONNECTS_ITSELF = (
    "{what} connects by itself, so that fly_orm cannot route the connections. Let the engine connect: pass parameters "
    'in the URL or as connect_args, and set those that change, such as tokens, in a "do_connect" listener that changes '
    "its cparams and returns None"
)
LISTENER_CONNECTS = _CONNECTS_ITSELF.format(what='a "do_connect" listener of the engine')


def is_asynchronous(database: Any) -> bool:
    """Whether an object is an AsyncEngine, whose module cannot be imported without greenlet."""
    cls = getattr(sys.modules.get("sqlalchemy.ext.asyncio"), "AsyncEngine", None)
    return cls is not None and isinstance(database, cls)


def no_engine(cls: type) -> str:
    """Why an object of this class of SQLAlchemy's cannot be wrapped, and what to wrap."""
    what = f"wrap() takes an Engine, and not an object of the class {cls.__module__}.{cls.__qualname__}"
    if cls.__module__.startswith("sqlalchemy.ext.asyncio"):
        return (
            f"{what}. fly_orm routes connections of psycopg2, which are not asynchronous: use create_engine() with "
            f"{_PSYCOPG2}, and call it in threads"
        )
    return f"{what}. Wrap the engine that it is made with: engine = fly_orm.wrap(create_engine(…))"


def obstacle(engine: Any) -> str | None:
    """Why the connections of an engine cannot be routed, as a clause; None if they can."""
    dialect, driver = engine.dialect, cast(Any, psycopg2)
    name = f"{dialect.name}+{dialect.driver}"
    if is_asynchronous(engine) or dialect.is_async:
        return (
            f"this engine is asynchronous ({name}), and fly_orm routes connections of psycopg2, which are not "
            f"(use create_engine() with {_PSYCOPG2}, and call it in threads)"
        )
    if dialect.name != "postgresql":
        return f"this engine is for {dialect.name}, and not for PostgreSQL"
    if dialect.driver != "psycopg2" or not isinstance(dialect, PGDialect_psycopg2):
        return f"this engine connects through {dialect.driver} (to use psycopg2, write {_PSYCOPG2} in its URL)"
    if dialect.dbapi is not driver:
        return "this engine was given another DB-API module than psycopg2 (leave out module=)"
    return None


def why_not_opened_by_dialect(engine: Engine) -> str | None:
    """Why connections of an engine's pool would not be opened by its dialect; None as far as can be told in advance."""
    creator = engine.pool._creator
    if getattr(creator, "__module__", None) == "sqlalchemy.engine.create":
        return None
    return _CONNECTS_ITSELF.format(what="the creator= or the pool= that was passed to create_engine()")
