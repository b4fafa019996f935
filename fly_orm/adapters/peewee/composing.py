"""Lets ``@db.atomic()`` above ``@fly_orm.on_primary`` mean what it means below, and refuses what cannot."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import cache, partial
from typing import Any

from ...errors import ConfigurationError
from ...postgres.subclasses import named_like


def compose(database: Any) -> None:
    """Let the transaction blocks of a database go around the code of a function that runs in another region.

    Around its call, they would be transactions of this process, which the function is no part of. So those that only
    make sense inside of another block raise ConfigurationError there.
    """
    database.atomic = _making(database.atomic, _around_code)
    database.transaction = _making(database.transaction, _around_code)
    for name in ("savepoint", "manual_commit"):
        setattr(database, name, _making(getattr(database, name), partial(_refused, name)))


def _around_code(decorate: Any, function: Any) -> Any:
    return function.decorate_code(decorate)


def _refused(name: str, _decorate: Any, function: Any) -> Any:
    raise ConfigurationError(
        f"@db.{name}() above @fly_orm.on_primary would be around the call of {function.function.name}, and not where "
        f"the function runs; write @fly_orm.on_primary above @db.{name}()"
    )


@cache
def _decorating(cls: Hashable, decorate_remote: Callable[[Any, Any], Any]) -> Any:
    """A subclass of peewee's class of a block, which is a decorator as well."""
    own: Any = cls

    def decorate(block: Any, function: Any) -> Any:
        around = partial(own.__call__, block)
        return decorate_remote(around, function) if hasattr(function, "decorate_code") else around(function)

    return named_like(own, own, __call__=decorate, __slots__=())


def _making(make: Callable[..., Any], decorate_remote: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def making(*args: Any, **options: Any) -> Any:
        block = make(*args, **options)
        block.__class__ = _decorating(type(block), decorate_remote)  # type: ignore[arg-type]  # a class is hashable
        return block

    return making
