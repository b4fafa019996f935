"""A plain read whose text is known still runs on the primary while something keeps it from the replica."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

import pytest

import fly_orm
from fly_orm import Route
from fly_orm.classify import Classifier
from tests.support.two_regions import TwoRegions
from tests.support.waiting import until

READ = "SELECT count(*) FROM t"
INSERT = "INSERT INTO t DEFAULT VALUES"


@pytest.fixture
def lax(regions: TwoRegions) -> Any:
    regions.query("CREATE TABLE t (id serial PRIMARY KEY)")
    regions.cluster.wait_for_replica()
    return regions.lax()


def route(connection: Any, sql: Any = READ) -> Route | None:
    connection.cursor().execute(sql)
    served = fly_orm.why()
    return None if served is None else served.route


@contextmanager
def transaction(connection: Any) -> Iterator[None]:
    connection.cursor().execute("BEGIN")
    yield
    connection.cursor().execute("COMMIT")


@contextmanager
def without_autocommit(connection: Any) -> Iterator[None]:
    connection.autocommit = False
    yield
    connection.rollback()
    connection.autocommit = True


@contextmanager
def state(connection: Any) -> Iterator[None]:
    connection.cursor().execute("CREATE TEMP TABLE scratch AS SELECT 1 AS one")
    yield
    connection.cursor().execute("DISCARD ALL")


@contextmanager
def block(connection: Any) -> Iterator[None]:
    with fly_orm.primary():
        yield


@contextmanager
def with_connection(connection: Any) -> Iterator[None]:
    with connection:
        yield


@pytest.mark.parametrize("obstacle", [transaction, without_autocommit, state, block, with_connection])
def test_it_runs_on_the_primary_while_something_keeps_it_there(
    regions: TwoRegions, lax: Any, obstacle: Callable[[Any], AbstractContextManager[None]]
) -> None:
    connection = lax.connection()
    assert [route(connection), route(connection)] == [Route.LOCAL] * 2
    with obstacle(connection):
        assert [route(connection), route(connection)] == [Route.PRIMARY] * 2
    # The replica has to show what was read on the primary, of which the primary may not have flushed all yet.
    until(lambda: route(connection) is Route.LOCAL)


def test_a_pin_counts_for_the_session_that_has_it(regions: TwoRegions, lax: Any) -> None:
    hasty = regions.lax(options={"settings": replace(regions.lax_settings(), replication_timeout=0.1)})
    connection = hasty.connection()
    assert route(connection) is Route.LOCAL
    with regions.cluster.replay_paused():
        connection.cursor().execute(INSERT)
        assert [route(connection), route(connection)] == [Route.PRIMARY] * 2
        with fly_orm.session():
            assert [route(connection), route(connection)] == [Route.LOCAL] * 2
        assert route(connection) is Route.PRIMARY
    regions.cluster.wait_for_replica()
    assert [route(connection), route(connection)] == [Route.LOCAL] * 2


def test_all_reads_run_on_the_primary_if_the_application_wants_that(regions: TwoRegions, lax: Any) -> None:
    connection = regions.lax(options={"reads": "primary"}).connection()
    assert [route(connection), route(connection)] == [Route.PRIMARY] * 2


@pytest.mark.parametrize(
    ("sql", "remembered"), [(READ, True), (r"SELECT 'a\b'", False), ("SELECT 1" + " " * 9000, False)]
)
def test_a_text_is_remembered_if_it_always_means_the_same(lax: Any, sql: str, remembered: bool) -> None:
    connection = lax.connection()
    assert [route(connection, sql), route(connection, sql.encode())] == [Route.LOCAL] * 2
    assert (sql in connection.plain_reads) is remembered
    assert Classifier().remembers(sql) is False


def test_connections_to_one_server_share_what_they_remember(regions: TwoRegions, lax: Any) -> None:
    route(lax.connection())
    lax.close()
    assert READ in lax.connection().plain_reads
