"""The connection and cursor classes that a Pony application brings along are kept, or refused."""

from __future__ import annotations

from typing import Any

import psycopg2
import pytest
from pony import orm
from psycopg2 import extensions as ext
from psycopg2 import extras

import fly_orm
from tests.support.pony_regions import works

pytestmark = pytest.mark.over_every_transport


class Mine(ext.connection):
    """A connection class of a user's own."""

    opened = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        Mine.opened += 1

    def mine(self) -> str:
        return "mine"


@pytest.mark.parametrize("bound_first", [True, False])
def test_a_connection_class_of_the_users_own_is_kept(wrap: Any, replica: dict[str, Any], bound_first: bool) -> None:
    database, opened = orm.Database(), Mine.opened
    given = {**replica, "connection_factory": Mine}
    if bound_first:
        database.bind("postgres", **given)
    wrap(database)
    if not bound_first:
        database.bind("postgres", **given)
    works(database)
    with orm.db_session:
        connection = database.get_connection()
        assert isinstance(connection, Mine)
        assert (connection.mine(), type(connection).__name__) == ("mine", "Mine")
    assert Mine.opened > opened


def test_a_connection_factory_that_is_no_class_is_refused(wrap: Any, replica: dict[str, Any]) -> None:
    database = wrap(orm.Database())
    with pytest.raises(fly_orm.NotSupported, match="connection_factory must be a class"):
        database.bind("postgres", **replica, connection_factory=lambda *args, **kwargs: Mine(*args, **kwargs))
    assert database.provider is None


@pytest.mark.parametrize("bound_first", [True, False])
def test_a_cursor_class_of_the_users_own_is_kept(wrap: Any, replica: dict[str, Any], bound_first: bool) -> None:
    database = orm.Database()
    given = {**replica, "cursor_factory": extras.DictCursor}
    if bound_first:
        database.bind("postgres", **given)
    wrap(database)
    if not bound_first:
        database.bind("postgres", **given)
    works(database)
    with orm.db_session:
        local = database.get_connection().cursor()
        local.execute("SELECT name FROM item")
        written = database.execute("INSERT INTO item (name) VALUES ('x') RETURNING name AS given")
        assert isinstance(written, extras.DictCursor)
        assert written.fetchone()["given"] == "x"
        assert local.fetchone()["name"].startswith("item of")


def test_the_drivers_own_tools_take_a_connection(wrap: Any, replica: dict[str, Any]) -> None:
    database = wrap(orm.Database("postgres", **replica))
    works(database)
    with orm.db_session:
        connection = database.get_connection()
        assert ext.quote_ident("a b", connection) == '"a b"'
        assert psycopg2.sql.SQL("SELECT {}").format(psycopg2.sql.Literal(1)).as_string(connection) == "SELECT 1"
        extras.register_uuid(conn_or_curs=connection)
        cursor = connection.cursor(cursor_factory=extras.RealDictCursor)
        cursor.execute("INSERT INTO item (name) VALUES ('x') RETURNING name")
        assert cursor.fetchall() == [{"name": "x"}]
