"""Pony's entities as arguments and results of functions that run on other nodes: they travel by class and primary key.

Where one arrives it is loaded, in the db_session that is open there. On a node, where none is, one is opened around the
function; a caller without one gets an instance whose db_session is over, as of any function that is decorated by it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import Any

from pony.orm import core
from pony.orm.dbproviders.postgres import PGProvider

from ...codec import CodecError, Packed, add_family
from ...errors import NotPortable
from ...routing.router import routers

log = logging.getLogger("fly_orm")


class PonyFamily:
    """The entities of the databases that are wrapped in this process, by ``database:Entity``."""

    prefix = "pony"

    def knows(self, cls: type) -> bool:
        return isinstance(cls, core.EntityMeta)

    def pack(self, instance: Any) -> Packed:
        entity = type(instance)
        name = next((name for name, database in _databases() if database is entity._database_), None)
        if name is None:
            raise NotPortable(f"{entity.__name__} belongs to a database that is not wrapped; wrap it")
        if instance._pkval_ is None:
            raise NotPortable("it has no primary key, since it was not saved; flush() or commit() first")
        return Packed(name=f"{name}:{entity.__name__}", fields=({"key": instance._get_raw_pkval_()},))

    def unpack(self, packed: Packed) -> Any:
        entity = _entity(packed.name)
        if entity is None:
            raise CodecError(f"there is no entity {packed.name!r:.200} here; import its module")
        key = packed.fields[0].get("key") if len(packed.fields) == 1 else None
        if type(key) is not tuple or len(key) != len(entity._pk_columns_):
            raise CodecError(f"that is no primary key of {packed.name:.200}")
        with _session():
            try:
                return entity[key]
            except (core.OrmError, core.DBException, TypeError, ValueError) as error:
                raise CodecError(f"{packed.name:.200} cannot be loaded: {error}") from error

    def error_name(self, cls: type[BaseException]) -> str | None:
        return None

    def error_class(self, name: str) -> type | None:
        return None


class _Call:
    """A function that runs here for a caller elsewhere, and what was opened for it."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._opened = 0

    def open_session(self) -> None:
        """Open a db_session that lasts to the end of the function."""
        self._stack.enter_context(core.db_session)
        self._opened = 1

    def leave_no_other(self) -> None:
        """Roll back what the function has left open: it is not for the next one to go on with."""
        if core.local.db_context_counter > self._opened:
            log.warning("a function has left a db_session open; it is rolled back")
            core.rollback()
            core.local.db_context_counter = self._opened
            if not self._opened:
                core.local.db_session = None


#: The function that is running here for a caller elsewhere.
_running: ContextVar[_Call] = ContextVar("fly_orm_pony_call")


@contextmanager
def call() -> Iterator[None]:
    """A block around a function that runs for a caller elsewhere, to whose end a db_session opened for it lasts."""
    if _running.get(None) is not None:
        yield
        return
    core.local.db_context_counter = 0  # a db_session that was left open before may have been closed meanwhile
    with ExitStack() as stack:
        running = _Call(stack)
        token = _running.set(running)
        stack.callback(_running.reset, token)
        try:
            yield
        finally:
            running.leave_no_other()


def install() -> None:
    """Let entities travel. Doing so again changes nothing."""
    add_family(PonyFamily())


@contextmanager
def _session() -> Iterator[None]:
    """A block inside a db_session."""
    if core.local.db_context_counter:
        yield
    elif (running := _running.get(None)) is not None:
        running.open_session()
        yield
    else:
        with core.db_session:
            yield


def _databases() -> Iterator[tuple[str, Any]]:
    for router in routers():
        database = getattr(router.wrapped, "database", None)
        if isinstance(database, core.Database) and isinstance(database.provider, PGProvider):
            yield router.name, database


def _entity(name: str) -> Any:
    database_name, _, entity_name = name.rpartition(":")
    found = [database.entities.get(entity_name) for name, database in _databases() if name == database_name]
    return next((entity for entity in found if entity is not None), None)
