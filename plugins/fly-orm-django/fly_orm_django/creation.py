"""Creates and drops test databases, to which nodes and fly_orm itself keep connections open."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db.backends.postgresql import creation

import fly_orm

_SERVE_TESTS = "To run tests from this region, start the node there with `manage.py fly_orm_serve --tests`"
_DROP = "DROP DATABASE "
#: Ends the connections to a database that are idle, until there are none. Sessions that run something are somebody's.
_DISCONNECT = """
    DO $$ BEGIN
        FOR attempt IN 1..50 LOOP
            PERFORM pg_stat_clear_snapshot();
            PERFORM pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE datname = {name} AND pid <> pg_backend_pid() AND state = 'idle';
            PERFORM pg_stat_clear_snapshot();
            EXIT WHEN NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = {name} AND pid <> pg_backend_pid());
            PERFORM pg_sleep(0.1);
        END LOOP;
    END $$
"""


class DatabaseCreation(creation.DatabaseCreation):  # type: ignore[misc]  # Django has no types
    """As Django's, in spite of the connections that nodes and routers have open."""

    @contextmanager
    def _nodb_cursor(self) -> Iterator[Any]:
        with super()._nodb_cursor() as cursor:
            yield _Dropping(cursor)

    def _clone_test_db(self, suffix: str, verbosity: int, keepdb: bool = False) -> None:
        self.connection.close()
        with fly_orm.primary(), self._nodb_cursor() as cursor:
            name = cursor.mogrify("%s", [self.connection.settings_dict["NAME"]]).decode()
            cursor.execute(_DISCONNECT.format(name=name))
        super()._clone_test_db(suffix, verbosity, keepdb)


class _Dropping:
    """A cursor whose ``DROP DATABASE`` ends the connections to the database (Postgres manual, DROP DATABASE)."""

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor

    def execute(self, sql: Any, params: Any = None) -> Any:
        if isinstance(sql, str) and sql.startswith(_DROP):
            sql += " WITH (FORCE)"
        try:
            return self._cursor.execute(sql, params)
        except fly_orm.Refused as error:
            if error.reason != "unknown database":
                raise
            raise fly_orm.Refused(f"{error}. {_SERVE_TESTS}", **error.__dict__) from error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)
