"""Mapped objects and rows as arguments and results of functions that run on other nodes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import Engine, Row, RowMapping, inspect
from sqlalchemy.engine import FilterResult, Result, result_tuple
from sqlalchemy.ext.associationproxy import _AssociationCollection
from sqlalchemy.ext.mutable import Mutable
from sqlalchemy.orm import InstanceState, Mapper, Query, object_session
from sqlalchemy.sql import quoted_name

from fly_orm.adapters.base import (
    CodecError,
    CollectionHandler,
    EncodedInstance,
    TypeHandler,
    find_named,
    routers,
    wire_name,
)
from fly_orm.errors import NotPortable

from .sessions import load
from .wrapped import WrappedEngine


class ObjectHandler(TypeHandler):
    """Mapped objects, which travel as their class, by ``module:QualName``, their primary key, and their database.

    Where they arrive they are loaded from the database, into the Session that :mod:`.sessions` chooses.
    """

    prefix = "sqlalchemy"

    def handles(self, cls: type) -> bool:
        return isinstance(inspect(cls, raiseerr=False), Mapper)

    def encode(self, instance: Any) -> EncodedInstance:
        cls, state = type(instance), inspect(instance)
        name = wire_name(cls)
        if find_named(name) is not cls:
            raise NotPortable(f"no module has the class {name}; define it at the top level of a module")
        _check_stored(instance, state)
        return EncodedInstance(name=name, fields=({"key": tuple(state.identity), "database": _database(instance)},))

    def decode(self, encoded: EncodedInstance) -> Any:
        cls = find_named(encoded.name)
        mapper: Any = inspect(cls, raiseerr=False) if isinstance(cls, type) else None
        if not isinstance(mapper, Mapper):
            raise CodecError(
                f"this process has no mapped class {encoded.name!r:.200}; import its module, or restart this "
                "process if it has imported the module without it"
            )
        fields = encoded.fields[0] if len(encoded.fields) == 1 else {}
        key, database = fields.get("key"), fields.get("database")
        if type(key) is not tuple or len(key) != len(mapper.primary_key):
            raise CodecError(f"the primary key of {encoded.name:.200} has other columns here")
        engines = [engine for name, engine in _engines() if name == database]
        if not engines:
            raise CodecError(f"this process has no engine of the database {database!r:.200}; wrap it before")
        return load(engines, mapper.class_, key)


class RowHandler(TypeHandler):
    """Rows of results, which travel as the names of their columns and their values."""

    prefix = "sqlalchemy-row"

    def handles(self, cls: type) -> bool:
        return issubclass(cls, Row)

    def encode(self, instance: Any) -> EncodedInstance:
        return _encoded("Row", instance._fields, instance)

    def decode(self, encoded: EncodedInstance) -> Any:
        fields = encoded.fields[0] if len(encoded.fields) == 1 else {}
        names, values = fields.get("names"), fields.get("values")
        if type(names) is not tuple or type(values) is not tuple or len(names) != len(values):
            raise CodecError("a row consists of as many names as values")
        if not all(type(name) is str for name in names):
            raise CodecError("the name of a column is not a str")
        return result_tuple(names)(values)


class RowMappingHandler(RowHandler):
    """The same for rows of ``Result.mappings()``."""

    prefix = "sqlalchemy-mapping"

    def handles(self, cls: type) -> bool:
        return issubclass(cls, RowMapping)

    def encode(self, instance: Any) -> EncodedInstance:
        return _encoded("RowMapping", instance, instance.values())

    def decode(self, encoded: EncodedInstance) -> Any:
        return super().decode(encoded)._mapping


class NameHandler(TypeHandler):
    """The names of tables and columns, which arrive as ``str``, such as the keys of ``row._asdict()``."""

    prefix = "sqlalchemy-name"

    def handles(self, cls: type) -> bool:
        return issubclass(cls, quoted_name)

    def encode(self, instance: Any) -> EncodedInstance:
        return EncodedInstance(name="name", fields=({"text": str(instance)},))

    def decode(self, encoded: EncodedInstance) -> Any:
        text = encoded.fields[0].get("text") if len(encoded.fields) == 1 else None
        if type(text) is not str:
            raise CodecError("a name of SQLAlchemy's consists of a str")
        return text


class ChildrenHandler(CollectionHandler):
    """What the relationships, mutable columns and association proxies of an object hold, such as ``owner.items``."""

    prefix = "sqlalchemy-children"

    def handles(self, cls: type) -> bool:
        if issubclass(cls, list | set | dict):
            return issubclass(cls, Mutable) or hasattr(cls, "_sa_instrumented")
        return issubclass(cls, _AssociationCollection)


class QueryHandler(TypeHandler):
    """What stands for rows rather than being some. It does not travel."""

    prefix = "sqlalchemy-query"

    def handles(self, cls: type) -> bool:
        return issubclass(cls, Result | FilterResult | Query)

    def encode(self, instance: Any) -> EncodedInstance:
        kind = type(instance).__name__
        raise NotPortable(f"a {kind} is read where it is used; pass .all() of it, or what to select by")

    def decode(self, encoded: EncodedInstance) -> Any:
        raise CodecError("a query does not travel")


def _encoded(kind: str, names: Iterable[str], values: Iterable[Any]) -> EncodedInstance:
    # The name of a column of a Table is a quoted_name, and so is the key of a row of it.
    return EncodedInstance(name=kind, fields=({"names": tuple(map(str, names)), "values": tuple(values)},))


def _check_stored(instance: Any, state: InstanceState[Any]) -> None:
    """NotPortable unless the database has the object as it is here."""
    if state.key is None:
        raise NotPortable("it is not in the database; add it to a Session and commit() first")
    if state.deleted or state.was_deleted:
        raise NotPortable("it was deleted")
    session = state.session
    if state.modified and (session is None or session.is_modified(instance)):
        raise NotPortable("it has changes that are not in the database; commit() first, or pass the values")


def _database(instance: Any) -> str:
    """The name of the database that an object belongs to."""
    session = object_session(instance)
    if session is None:
        names = sorted({name for name, _ in _engines()})
        if len(names) == 1:
            return names[0]
        raise NotPortable(
            f"it is detached, and could be of any of the databases {', '.join(names)}; pass it while it is in a Session"
            if names
            else "no engine of this process is wrapped; call wrap() with it"
        )
    bound = session.get_bind(inspect(instance).mapper).engine
    found = next((name for name, engine in _engines() if engine.dialect is bound.dialect), None)
    if found is None:
        raise NotPortable("it belongs to an engine that is not wrapped; call wrap() with it")
    return found


def _engines() -> Iterator[tuple[str, Engine]]:
    """The wrapped engines of this process, with the names of their databases."""
    for router in routers():
        wrapped = router.wrapped
        if isinstance(wrapped, WrappedEngine) and (engine := wrapped.alive) is not None:
            yield router.name, engine
