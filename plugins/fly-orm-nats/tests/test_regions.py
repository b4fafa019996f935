"""peewee and Pony in two regions, on a real primary and replica, with nothing but NATS between them."""

import signal
from concurrent.futures import ThreadPoolExecutor

import peewee
import psycopg2
import pytest
from found import ThroughNats
from pony import orm

import fly_orm
from fly_orm.deadline import Deadline
from fly_orm.errors import AuthenticationFailed, NoNode, NotDelivered, OutcomeUnknown, TransactionLost
from fly_orm.testing.contract.tools import in_thread, result, until
from fly_orm.topology import Node
from tests.support.nodes import environment_in
from tests.support.processes import script
from tests.support.two_regions import named

LOCAL, PRIMARY = fly_orm.Route.LOCAL, fly_orm.Route.PRIMARY
PAIRS, THREADS = 400, 8


@pytest.fixture
def stock(regions):
    regions.query("CREATE TABLE stock (id serial PRIMARY KEY, n int NOT NULL)")
    regions.query("INSERT INTO stock (n) VALUES (0)")
    regions.cluster.wait_for_replica()


def test_a_node_needs_no_address(regions):
    assert regions.node().announced == f"fly-orm: serving {regions.name} at nats:shop.syd\n"


def test_every_read_of_peewee_sees_the_write_before_it(regions, stock):
    nodes = [regions.node() for _ in range(2)]
    database = regions.lax()

    class Stock(peewee.Model):
        n = peewee.IntegerField()

    Stock.bind(database)

    def work(_):
        with database.connection_context():
            found = []
            for number in range(PAIRS // THREADS):
                made = Stock.create(n=number)
                found.append((Stock.get_by_id(made.id).n == number, fly_orm.why().route))
            return found

    with ThreadPoolExecutor(THREADS) as pool:
        found = [each for some in pool.map(work, range(THREADS)) for each in some]
    assert found == [(True, LOCAL)] * PAIRS
    assert regions.query("SELECT count(*) FROM stock") == PAIRS + 1
    assert all(node.process.poll() is None for node in nodes)


def test_every_read_of_pony_sees_the_write_before_it(regions, stock):
    regions.node()
    database = orm.Database()
    fly_orm.wrap(database, settings=regions.lax_settings())
    database.bind("postgres", **named(regions.cluster.replica, regions.name))

    class Stock(database.Entity):
        n = orm.Required(int)

    database.generate_mapping(create_tables=False, check_tables=False)
    for number in range(50):
        with orm.db_session:
            made = Stock(n=number)
        with orm.db_session:
            assert Stock[made.id].n == number
            assert fly_orm.why().route is LOCAL
    database.disconnect()
    database._fly_orm.close()


def test_a_transaction_stays_on_one_node(regions, stock):
    for _ in range(2):
        regions.node()
    database = regions.lax()

    def work(number):
        with database.connection_context(), database.atomic():
            backends = set()
            for _ in range(5):
                database.execute_sql("INSERT INTO stock (n) VALUES (%s)", (number,))
                backends.add(database.execute_sql("SELECT pg_backend_pid()").fetchone()[0])
            assert database.execute_sql("SELECT count(*) FROM stock WHERE n = %s", (number,)).fetchone() == (5,)
            return backends

    with ThreadPoolExecutor(8) as pool:
        assert {len(backends) for backends in pool.map(work, range(1, 17))} == {1}
    assert regions.query("SELECT count(*) FROM stock") == 16 * 5 + 1


def test_when_a_node_dies_its_transaction_is_lost_and_the_next_runs_on_another(regions, stock):
    nodes = [regions.node()]
    database = regions.lax()
    with pytest.raises((OutcomeUnknown, TransactionLost, peewee.OperationalError)), database.atomic():
        database.execute_sql("UPDATE stock SET n = 1")
        nodes.append(regions.node())
        nodes[0].kill()
        database.execute_sql("UPDATE stock SET n = 2")
    database.close()
    database.execute_sql("UPDATE stock SET n = n + 3")
    assert regions.query("SELECT n FROM stock") == 3


CALLER = """
import os, sys
import fly_orm, peewee
database = fly_orm.wrap(peewee.PostgresqlDatabase(os.environ["NAME"], host=os.environ["HOST"], port=os.environ["PORT"],
                                                  user="postgres"))
database.begin()
database.execute_sql("UPDATE stock SET n = 7")
print("holds", flush=True)
sys.stdin.read()
"""


@pytest.mark.slow
def test_when_a_caller_dies_its_transaction_is_rolled_back(regions, stock):
    regions.node()
    server = regions.cluster.replica
    variables = {**environment_in("lax"), **ThroughNats().variables()}
    with script(CALLER, **variables, NAME=regions.name, HOST=str(server.host), PORT=str(server.port)) as caller:
        assert caller.stdout.readline() == "holds\n"
        with pytest.raises(psycopg2.errors.LockNotAvailable):
            regions.query("SELECT n FROM stock FOR UPDATE NOWAIT")
        caller.kill()

    def is_free():
        try:
            return regions.query("SELECT n FROM stock FOR UPDATE NOWAIT") == 0
        except psycopg2.errors.LockNotAvailable:
            return False

    until(is_free)


def test_a_node_that_drains_leaves_new_requests_to_the_others(regions, stock):
    """What the addresses of single nodes are for: the region's own leads to whichever node a channel was opened to."""
    leaving, _ = [regions.serving() for _ in range(2)]
    database = regions.lax()
    directory = database._fly_orm.forwarder.directory
    until(lambda: len(directory.nodes("syd", Deadline.after(0))) == 3)
    for _ in range(20):
        database.execute_sql("UPDATE stock SET n = n + 1")
    alone = (Node(region="syd", address=f"nats:shop.syd@{leaving._server._id}"),)
    holder = regions.lax(discovery="static", nodes={"syd": alone})
    holder.begin()
    holder.execute_sql("INSERT INTO stock (n) VALUES (-1)")
    closing = in_thread(leaving.close, 20)
    until(lambda: leaving._executor.draining)
    for _ in range(40):
        database.execute_sql("UPDATE stock SET n = n + 1 WHERE n >= 0")
    assert not closing.done()
    holder.commit()
    result(closing, 20)
    assert regions.query("SELECT n FROM stock WHERE n >= 0") == 60


@pytest.mark.slow
def test_a_node_that_is_stopped_finishes_what_it_is_doing(regions, stock):
    node = regions.node()
    database = regions.lax()
    database.execute_sql("UPDATE stock SET n = 1")
    pending = in_thread(database.execute_sql, "UPDATE stock SET n = 2 FROM (SELECT pg_sleep(1)) AS slow")
    until(lambda: regions.query("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%slow' AND state = 'active'"))
    node.process.send_signal(signal.SIGTERM)
    assert result(pending, 10).rowcount == 1
    assert node.process.wait(10) == 0
    with pytest.raises(NotDelivered, match="no node serves it"):
        database.execute_sql("UPDATE stock SET n = 3")


def test_the_handshake_still_applies(regions, stock):
    regions.node()
    database = regions.lax(secret="another-secret-as-long-as-the-other")
    with pytest.raises(AuthenticationFailed):
        database.execute_sql("UPDATE stock SET n = 1")
    with pytest.raises(fly_orm.ConfigurationError, match="FLY_ORM_SECRET must be set"):
        fly_orm.serve(database, listen="nats:shop.syd", settings=regions.lax_settings(secret=""))


def test_another_application_is_not_reached(regions, stock):
    regions.node()
    with pytest.raises(NotDelivered, match="no node serves it") as caught:
        regions.lax(app="other").execute_sql("UPDATE stock SET n = 1")
    assert not isinstance(caught.value, NoNode)
