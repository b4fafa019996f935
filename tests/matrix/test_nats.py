"""A sample of the cells of a write, over NATS: the link between the caller and the NATS server stops a message."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import peewee
import pytest

import fly_orm
from tests.matrix import framing
from tests.matrix.cells import EXPECTED, Cell
from tests.matrix.link import Link, Stop, Trap, Weather
from tests.matrix.world import SCHEMA
from tests.support.nodes import NodeProcess, url
from tests.support.over import over
from tests.support.two_regions import close, named, settings
from tests.support.waiting import PATIENCE, until

WEATHER = {"cut": Weather.CUT, "stall": Weather.STALLED, "deaf": Weather.DEAF}
STOPS = {"sent": (Stop.UNSENT, None), "replying": (Stop.PARTLY, lambda message: b"\r\n\x05" in message[:200])}


@pytest.fixture
def link(nats, monkeypatch):
    """The way to the NATS server, for this process only."""
    made = Link(("127.0.0.1", nats.port), ("127.0.0.1", 0), up=framing.nats, down=framing.nats)
    monkeypatch.setenv("NATS_URL", "nats://{}:{}".format(*made.address))
    yield made
    made.close()


@pytest.fixture
def node(cluster, database, nats):
    control = cluster.primary.connect(database)
    control.cursor().execute(SCHEMA)
    variables = {"MATRIX_URL": url(cluster.primary, database), "NATS_URL": nats.url}
    with over("nats"):
        made = NodeProcess("tests.matrix.app:db", **variables)
        yield made.address()
    made.kill()
    control.close()


@pytest.mark.slow
@pytest.mark.parametrize("fault", WEATHER)
@pytest.mark.parametrize("moment", STOPS)
def test_the_caller_sees_what_became_of_it(cluster, database, node, link, moment, fault):
    expected = EXPECTED[Cell(moment=moment, operation="write", fault=fault)]
    given = settings("lax", node, transport="nats", rpc_timeout=1.5)
    db = fly_orm.wrap(peewee.PostgresqlDatabase(**named(cluster.replica, database)), settings=given)
    insert = "INSERT INTO item (name) VALUES ('{}')".format

    def stored():
        with cluster.primary.connect(database) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM item WHERE name = 'row-marked'")
            return cursor.fetchone()[0]

    def works():
        try:
            return db.execute_sql(insert("next"))
        except (fly_orm.NotDelivered, fly_orm.Refused, fly_orm.OutcomeUnknown):
            return False

    with ThreadPoolExecutor(1) as thread:
        thread.submit(db.execute_sql, insert("warm")).result(PATIENCE)
        stop, reply = STOPS[moment]
        trap = link.stop_at(Trap(mark=b"row-marked", stop=stop, reply=reply))
        call = thread.submit(db.execute_sql, insert("row-marked"))
        assert trap.sprung.wait(PATIENCE)
        link.change(WEATHER[fault])
        trap.released.set()
        error = call.exception(PATIENCE)
        link.change(Weather.FAIR)
        assert isinstance(error, tuple(getattr(fly_orm, name) for name in expected.seen)), error
        until(lambda: thread.submit(works).result(PATIENCE), "the connection does not work")
        assert stored() == expected.stored
        thread.submit(close, db).result(PATIENCE)
