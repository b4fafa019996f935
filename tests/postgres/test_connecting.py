"""No error, log line or reply repeats a password from a malformed connection string."""

from __future__ import annotations

import logging
from traceback import TracebackException

import peewee
import psycopg2
import pytest
from pony import orm

import fly_orm
from fly_orm.errors import ConfigurationError
from fly_orm.postgres.connecting import hiding_passwords, redacted
from fly_orm.settings import Settings
from tests.support.two_regions import close, settings

#: None of these is parsed as it was meant, and the driver quotes a part of each, with the password or a half of it.
MALFORMED = [
    "postgresql://app:hun%zzhunter2@db/shop",
    "postgresql://app:hunter2/@db/shop",
    "postgresql://app:hunter2@[::1/shop",
    "postgresql://app:hun@hunter2@no.such.host.invalid/shop",
    "host=127.0.0.1 password=hun hunter2 dbname=shop",
    "host=127.0.0.1 dbname=shop port=hunter2",
    "postgres//app:hunter2@db/shop",
]
PARSED = [dsn for dsn in MALFORMED if "//app:hunter2/@" not in dsn and "invalid" not in dsn and "port=" not in dsn]


@pytest.mark.parametrize("dsn", MALFORMED)
def test_an_error_of_the_driver_does_not_show_it(dsn):
    with pytest.raises(psycopg2.Error, match="hunter2"):
        psycopg2.connect(dsn)
    with pytest.raises(psycopg2.Error) as caught:
        hiding_passwords(lambda: psycopg2.connect(dsn))
    assert "hunter2" not in "".join(TracebackException.from_exception(caught.value).format()).replace(dsn, "")


@pytest.mark.parametrize(
    "message",
    [
        'connection to server at "127.0.0.1", port 1 failed: Connection refused\n\tIs the server running?\n',
        'connection to server on socket "/tmp/.s.PGSQL.1" failed: FATAL:  database "shop" does not exist\n',
        'could not translate host name "db.internal" to address: Name or service not known\n',
        "server closed the connection unexpectedly\n",
    ],
)
def test_what_a_server_reports_stays_as_it_is(message):
    assert redacted(message) == message


def test_the_option_that_has_a_wrong_value_is_named():
    assert redacted('invalid integer value "x"y" for connection option "port"\n').startswith(
        'invalid integer value "…" for connection option "port" ('
    )


@pytest.mark.parametrize("dsn", PARSED)
def test_a_database_with_such_a_name_is_refused_without_it(dsn):
    database = fly_orm.wrap(peewee.PostgresqlDatabase(dsn), settings=settings("syd"))
    with pytest.raises(ConfigurationError) as caught:
        fly_orm.serve(database, listen="127.0.0.1:0", settings=settings("syd"))
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("dsn", PARSED[:3])
def test_so_is_a_pony_database(dsn):
    with pytest.raises((ConfigurationError, orm.ProgrammingError, psycopg2.ProgrammingError)) as caught:
        database = fly_orm.wrap(orm.Database(), settings=settings("syd"))
        database.bind("postgres", dsn)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("parameters", [{"port": "hunter2"}, {"host": "hunter2@no.such.host.invalid"}])
def test_neither_log_nor_reply_of_a_node_shows_it(regions, parameters, caplog):
    caplog.set_level(logging.DEBUG, "fly_orm")
    wrong = fly_orm.wrap(peewee.PostgresqlDatabase(regions.name, **parameters), settings=settings("syd"))
    with fly_orm.serve(wrong, listen="127.0.0.1:0", settings=settings("syd")) as serving:
        serving.warn_unless_primary()
        lax = regions.lax(options={"settings": settings("lax", serving.address)})
        with pytest.raises(fly_orm.Refused, match="cannot connect to the primary") as caught:
            lax.execute_sql("CREATE TABLE t ()")
    close(wrong)
    assert "cannot be reached" in caplog.text
    assert "hunter2" not in caplog.text + str(caught.value)


@pytest.mark.parametrize("text", ["syd=https://app:hunter2@a:1", "https://app:hunter2@a:1"])
def test_an_address_that_is_a_url_is_refused_without_its_password(text):
    with pytest.raises(ConfigurationError, match="//…@a:1") as caught:
        Settings.from_environment({"FLY_ORM_NODES": text.replace("=", ":")})
    assert "hunter2" not in str(caught.value)
