"""Pony's entities as arguments and results of functions that run on other nodes.

An entity travels as its class and its primary key, and is loaded from the database where it arrives, in the current
db_session. On a node, a db_session is opened around the function if one of the arguments needs it. A caller without a
db_session gets an entity whose db_session has ended, as from any function that is decorated with db_session.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import Any

from pony.orm import core
from pony.orm.dbproviders.postgres import PGProvider
from pony.orm.ormtypes import TrackedValue

from ...errors import NotPortable
from ...routing.router import routers
from ..base import CodecError, CollectionHandler, EncodedInstance, TypeHandler

log = logging.getLogger("fly_orm")


class EntityHandler(TypeHandler):
    """The entities of the databases that are wrapped in this process, by the name ``database:Entity``."""

    prefix = "pony"

    def handles(self, cls: type) -> bool:
        return isinstance(cls, core.EntityMeta)

    def encode(self, instance: Any) -> EncodedInstance:
        entity = type(instance)
        name = next((name for name, database in _databases() if database is entity._database_), None)
        if name is None:
            raise NotPortable(f"{entity.__name__} belongs to a database that is not wrapped; call wrap() with it")
        if instance._pkval_ is None:
            raise NotPortable("it has no primary key, since it was not saved; call flush() or commit() first")
        return EncodedInstance(name=f"{name}:{entity.__name__}", fields=({"key": instance._get_raw_pkval_()},))

    def decode(self, encoded: EncodedInstance) -> Any:
        entity = _entity(encoded.name)
        if entity is None:
            raise CodecError(
                f"this process has no entity {encoded.name!r:.200}; import its module, or restart this "
                "process if it has imported the module without it"
            )
        key = encoded.fields[0].get("key") if len(encoded.fields) == 1 else None
        if type(key) is not tuple or len(key) != len(entity._pk_columns_):
            raise CodecError(f"the primary key of {encoded.name:.200} has other columns here")
        with open_db_session():
            try:
                return entity[key]
            except (core.OrmError, core.DBException, TypeError, ValueError) as error:
                raise CodecError(f"{encoded.name:.200} cannot be loaded: {error}") from error


class JsonHandler(CollectionHandler):
    """The values of attributes of the types ``Json`` and array, whose changes Pony notices."""

    prefix = "pony-json"

    def handles(self, cls: type) -> bool:
        return issubclass(cls, TrackedValue) and issubclass(cls, list | dict)


class _FunctionScope:
    """A function that runs on behalf of another node, and the db_session that was opened for it, if any."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._opened = 0
        self.opens_when_needed = False
        """Whether its caller is in a db_session, so that it may do without one of its own."""

    def open_session(self) -> None:
        """Open a db_session that lasts until the function ends."""
        self._stack.enter_context(core.db_session)
        self._opened = 1

    def roll_back_others(self) -> None:
        """Roll back the db_sessions that the function left open, so that the next function inherits nothing."""
        if core.local.db_context_counter > self._opened:
            log.warning("a function left a db_session open; it is rolled back", extra={"event": "function_left_open"})
            core.rollback()
            core.local.db_context_counter = self._opened
            if not self._opened:
                core.local.db_session = None


_scope: ContextVar[_FunctionScope] = ContextVar("fly_orm_pony_function_scope")


@contextmanager
def function_scope() -> Iterator[None]:
    """A context manager around a function that runs on behalf of another node. One for all databases of the process."""
    if _scope.get(None) is not None:
        yield
        return
    core.local.db_context_counter = 0  # a db_session that was left open may have been closed in the meantime
    with ExitStack() as stack:
        scope = _FunctionScope(stack)
        token = _scope.set(scope)
        stack.callback(_scope.reset, token)
        try:
            yield
        finally:
            scope.roll_back_others()


@contextmanager
def open_db_session() -> Iterator[None]:
    """A context manager within which a db_session is open, until the function that runs here ends, if there is one."""
    if core.local.db_context_counter:
        yield
    elif (scope := _scope.get(None)) is not None:
        scope.open_session()
        yield
    else:
        with core.db_session:
            yield


def allow_db_session() -> None:
    """Let the function that runs here do without a db_session: one is opened when it first uses a database."""
    if (scope := _scope.get(None)) is not None:
        scope.opens_when_needed = True


def open_if_allowed() -> None:
    """Open a db_session for the function that runs here, if it is in none and was allowed to do without."""
    scope = _scope.get(None)
    if scope is not None and scope.opens_when_needed and not core.local.db_context_counter:
        scope.open_session()


def _databases() -> Iterator[tuple[str, Any]]:
    for router in routers():
        database = getattr(router.wrapped, "database", None)
        if isinstance(database, core.Database) and isinstance(database.provider, PGProvider):
            yield router.name, database


def _entity(name: str) -> Any:
    database_name, _, entity_name = name.rpartition(":")
    found = [database.entities.get(entity_name) for name, database in _databases() if name == database_name]
    return next((entity for entity in found if entity is not None), None)
