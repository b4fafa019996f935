"""The writes of a flush of Pony's, in the order in which it executes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from pony.orm import core


class Captured(BaseException):  # it takes Pony's code back to where the statement is captured
    """A statement that Pony was about to execute. Nothing of Pony's catches it."""

    def __init__(self, sql: str, arguments: Any) -> None:
        super().__init__(sql)
        self.sql = sql
        self.arguments = arguments


@dataclass(frozen=True, kw_only=True)
class Write:
    """A call of one of Pony's methods, which executes one statement and changes nothing before."""

    execute: Callable[[], object]
    refers_to: tuple[Any, ...] = ()
    """The objects whose keys it needs, which may be made by an earlier write."""
    least_rows: int = 0
    """The row count below which Pony raises an error."""
    makes_key_of: Any = None
    """The object whose key the primary makes, if it does."""

    @property
    def is_known(self) -> bool:
        """Whether all that it needs is known already."""
        return not any(None in each._get_raw_pkval_() for each in self.refers_to)


def writes_of(cache: Any, modified_m2m: dict[Any, Any]) -> Iterator[Write]:
    """The writes of a flush that has called its hooks, and executed nothing yet."""
    for attr, (_, removed) in modified_m2m.items():
        if removed:
            yield Write(execute=partial(attr.remove_m2m, removed), refers_to=_objects(removed))
    for obj in _in_order(cache.objects_to_save):
        if (write := _save(cache, obj)) is not None:
            yield write
    for attr, (added, _) in modified_m2m.items():
        if added:
            yield Write(execute=partial(attr.add_m2m, added), refers_to=_objects(added))


def has_hooks(cache: Any) -> bool:
    """Whether an object that the flush saves, or has saved, is of a class with hooks to be called after that."""
    classes = {type(obj) for obj in cache.objects_to_save if obj is not None} | {
        type(obj) for obj, _ in cache.saved_objects
    }
    names = ("after_insert", "after_update", "after_delete")
    return any(getattr(each, name) is not getattr(core.Entity, name) for each in classes for name in names)


def _objects(pairs: Any) -> tuple[Any, ...]:
    return tuple(obj for pair in pairs for obj in pair)


def _in_order(objects: list[Any]) -> list[Any]:
    """The objects, each after those that it refers to and that are new. Empty if these form a cycle."""
    ordered: list[Any] = []
    done: set[int] = set()
    pending: set[int] = set()

    def visit(obj: Any) -> bool:
        if id(obj) in done:
            return True
        if id(obj) in pending:
            return False
        pending.add(id(obj))
        if not all(visit(each) for each in _principals(obj) if each._status_ == "created"):
            return False
        done.add(id(obj))
        ordered.append(obj)
        return True

    return ordered if all(visit(obj) for obj in objects if obj is not None) else []


def _principals(obj: Any) -> tuple[Any, ...]:
    """The objects that an object's columns to be written refer to."""
    values = (obj._vals_[attr] for attr in _written(obj) if attr.reverse)
    return tuple(value for value in values if value is not None)


def _written(obj: Any) -> list[Any]:
    """The attributes whose columns are written when the object is saved."""
    if obj._status_ == "created":
        return list(obj._attrs_with_columns_)
    if obj._status_ == "modified":
        return list(obj._attrs_with_bit_(obj._attrs_with_columns_, obj._wbits_))
    return []


def _save(cache: Any, obj: Any) -> Write | None:
    """The write that saves an object; None if it needs no statement."""
    if obj._status_ == "created":
        makes_key_of = obj if obj._pkval_ is None else None
        return Write(execute=obj._save_created_, refers_to=_principals(obj), makes_key_of=makes_key_of)
    if obj._status_ == "modified":
        if not _written(obj):
            return None
        is_checked = cache.db_session is not None and cache.db_session.optimistic
        return Write(execute=obj._save_updated_, refers_to=(obj, *_principals(obj)), least_rows=1 if is_checked else 0)
    return Write(execute=obj._save_deleted_, refers_to=(obj,))
