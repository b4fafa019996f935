"""Opens psycopg2 connections to one database."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any

import psycopg2
from psycopg2 import extensions as ext


class ExampleFactory:
    """Opens psycopg2 connections to one database. Thread-safe."""

    def __init__(self, dsn: str = "", *, cursor_factory: type[ext.cursor] | None = None, **parameters: Any) -> None:
        """``dsn`` and ``parameters`` are libpq's, as in ``psycopg2.connect()``."""
        self.parameters = {**ext.parse_dsn(ext.make_dsn(dsn, **parameters)), "cursor_factory": cursor_factory}
        self.open: Callable[..., ext.connection] = psycopg2.connect
        self._threads = threading.local()

    def connect(self) -> ext.connection:
        """A new connection in autocommit mode. ``with connection:`` is a transaction. The caller closes it."""
        connection = self.open(**self.parameters)
        connection.autocommit = True
        self.opened.add(connection)
        return connection

    @property
    def opened(self) -> weakref.WeakSet[ext.connection]:
        """The connections that the calling thread has opened and still refers to. Some may be closed."""
        opened: weakref.WeakSet[ext.connection] = self._threads.__dict__.setdefault("opened", weakref.WeakSet())
        return opened
