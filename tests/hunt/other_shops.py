"""The same counters through other libraries, which ``make hunt ORM=…`` names. Their transactions are deferred."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg2

import fly_orm

from .shop import GROW, LOOK, URL, Shown, shops

#: The variable that names one of them.
ORM = "HUNT_ORM"


class Psycopg2:
    """A connection of psycopg2's for each thread, through a connection factory."""

    def __init__(self, url: str) -> None:
        self._url, self._factory = url, fly_orm.connection_factory(defers_transactions=True)
        self._threads = threading.local()
        self.name = type(self).__name__

    @contextmanager
    def open(self) -> Iterator[None]:
        try:
            yield
        finally:
            self.leave()

    def leave(self) -> None:
        """Close the connection: the next one may reach another server."""
        connection = self._threads.__dict__.pop("connection", None)
        if connection is not None:
            connection.close()

    @property
    def _connection(self) -> Any:
        made = self._threads.__dict__
        if "connection" not in made:
            made["connection"] = psycopg2.connect(self._url, connection_factory=self._factory)
        return made["connection"]

    def _one(self, sql: str, key: int) -> Shown:
        with self._connection.cursor() as cursor:
            cursor.execute(sql, (key,))
            epoch, value = cursor.fetchone()
            return epoch, value

    @contextmanager
    def _transaction(self, *, undo: bool = False) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._connection.rollback()
            raise
        self._connection.rollback() if undo else self._connection.commit()

    def look(self, key: int) -> Shown:
        with self._transaction():
            return self._one(LOOK, key)

    def grow(self, key: int) -> Shown:
        with self._transaction():
            return self._one(GROW, key)

    def transact(self, keys: Sequence[int], saw: Callable[[int, Shown], None], *, undo: bool) -> dict[int, Shown]:
        """Read on the replica, in savepoints, and then write on the primary; returns what was committed."""
        with self._transaction(undo=undo):
            for key in keys:
                with self._savepoint():
                    saw(key, self._one(LOOK, key))
            grown = {key: self._one(GROW, key) for key in keys}
        return {} if undo else grown

    @contextmanager
    def _savepoint(self) -> Iterator[None]:
        with self._connection.cursor() as cursor:
            cursor.execute("SAVEPOINT looking")
            yield
            cursor.execute("RELEASE looking")

    def snapshot(self, keys: Sequence[int]) -> dict[int, Shown]:
        """Read counters in a read-only transaction."""
        self._connection.set_session("REPEATABLE READ", readonly=True)
        try:
            with self._transaction():
                return {key: self._one(LOOK, key) for key in keys}
        finally:
            if not self._connection.closed:
                self._connection.set_session("DEFAULT", readonly="DEFAULT")


class SqlAlchemy:
    """A pooled engine of SQLAlchemy's, through its adapter."""

    name = "SQLAlchemy"

    def __init__(self, url: str) -> None:
        from sqlalchemy import create_engine

        self._engine = create_engine(url, plugins=["fly_orm"], pool_size=20, pool_pre_ping=True)
        self._snapshots = self._engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    @contextmanager
    def open(self) -> Iterator[None]:
        yield

    def leave(self) -> None:
        """Nothing: each step takes a connection from the pool, which may lead to any server."""

    def look(self, key: int) -> Shown:
        with self._engine.connect() as connection:
            return _one(connection, LOOK, key)

    def grow(self, key: int) -> Shown:
        with self._engine.begin() as connection:
            return _one(connection, GROW, key)

    def transact(self, keys: Sequence[int], saw: Callable[[int, Shown], None], *, undo: bool) -> dict[int, Shown]:
        with self._engine.connect() as connection:
            for key in keys:
                with connection.begin_nested():
                    saw(key, _one(connection, LOOK, key))
            grown = {key: _one(connection, GROW, key) for key in keys}
            connection.rollback() if undo else connection.commit()
        return {} if undo else grown

    def snapshot(self, keys: Sequence[int]) -> dict[int, Shown]:
        with self._snapshots.connect() as connection:
            return {key: _one(connection, LOOK, key) for key in keys}


def _one(connection: Any, sql: str, key: int) -> Shown:
    epoch, value = connection.exec_driver_sql(sql, (key,)).one()
    return epoch, value


class Django:
    """Django's own connection of each thread, through its backend. Reads in autocommit, transactions deferred."""

    name = "Django"

    def __init__(self, url: str) -> None:
        import django
        from django.conf import settings
        from psycopg2.extensions import parse_dsn

        given = parse_dsn(url)
        database = {
            "ENGINE": "fly_orm_django",
            "NAME": given["dbname"],
            "USER": given["user"],
            "HOST": given["host"],
            "PORT": given["port"],
            "FLY_ORM": {"defer_transactions": True},
        }
        settings.configure(DATABASES={"default": database}, INSTALLED_APPS=["fly_orm_django"], USE_TZ=True)
        django.setup()
        from django.db import connection, transaction

        self._connection, self._atomic = connection, transaction.atomic
        self._rollback = transaction.set_rollback

    @contextmanager
    def open(self) -> Iterator[None]:
        try:
            yield
        finally:
            self.leave()

    def leave(self) -> None:
        self._connection.close()

    def _one(self, sql: str, key: int) -> Shown:
        with self._connection.cursor() as cursor:
            cursor.execute(sql, (key,))
            epoch, value = cursor.fetchone()
            return epoch, value

    def look(self, key: int) -> Shown:
        return self._one(LOOK, key)

    def grow(self, key: int) -> Shown:
        return self._one(GROW, key)

    def transact(self, keys: Sequence[int], saw: Callable[[int, Shown], None], *, undo: bool) -> dict[int, Shown]:
        with self._atomic():
            for key in keys:
                with self._atomic():
                    saw(key, self._one(LOOK, key))
            grown = {key: self._one(GROW, key) for key in keys}
            if undo:
                self._rollback(True)
        return {} if undo else grown

    def snapshot(self, keys: Sequence[int]) -> dict[int, Shown]:
        with self._atomic():
            return {key: self._one(LOOK, key) for key in keys}


SHOPS: dict[str, Callable[[str], Any]] = {"psycopg2": Psycopg2, "sqlalchemy": SqlAlchemy, "django": Django}


def chosen() -> list[Any]:
    """The shops that users visit: those of peewee and Pony, unless the environment names another library."""
    return [SHOPS[os.environ[ORM]](os.environ[URL])] if ORM in os.environ else shops()
