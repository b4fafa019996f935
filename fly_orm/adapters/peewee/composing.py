"""Lets ``@db.atomic()`` above ``@fly_orm.on_primary`` mean what it means below."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import cache, partial
from typing import Any

from ...postgres.subclasses import named_like


@cache
def _decorating(cls: Hashable) -> Any:
    """A subclass of peewee's class of a block, which is a decorator as well."""
    own: Any = cls

    def decorate(block: Any, function: Any) -> Any:
        around = partial(own.__call__, block)
        decorate_code = getattr(function, "decorate_code", None)
        return around(function) if decorate_code is None else decorate_code(around)

    return named_like(own, own, __call__=decorate, __slots__=())


def compose(database: Any) -> None:
    """Let the transaction blocks of a database go around the code of a function that runs in another region.

    Around its call, they would be transactions of this process, which the function is no part of.
    """
    database.atomic = _composing(database.atomic)
    database.transaction = _composing(database.transaction)


def _composing(make: Callable[..., Any]) -> Callable[..., Any]:
    def composing(*args: Any, **options: Any) -> Any:
        block = make(*args, **options)
        block.__class__ = _decorating(type(block))  # type: ignore[arg-type]  # a class is hashable
        return block

    return composing
