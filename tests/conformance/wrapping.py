"""Wraps every database that Pony's suite makes on PostgreSQL, without a change to the suite."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pony.orm import core
from pony.orm.dbproviders.postgres import PGProvider

Wrap = Callable[[Any], object]


def before_bind(wrap: Wrap) -> None:
    """From now on, databases are wrapped when they are made, so before they are bound."""
    original = core.Database.__init__

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self)
        # The suite's own subclass does not connect, and what is bound to SQLite is not the subject.
        if type(self) is core.Database and "sqlite" not in args:
            wrap(self)
        if args or kwargs:
            self.bind(*args, **kwargs)

    core.Database.__init__ = init


def after_bind(wrap: Wrap) -> None:
    """From now on, databases are wrapped as soon as they are bound to PostgreSQL."""
    original = core.Database._bind

    def bind(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        if type(self.provider) is PGProvider:
            wrap(self)

    core.Database._bind = bind


WAYS: dict[str, Callable[[Wrap], None]] = {"before": before_bind, "after": after_bind}
