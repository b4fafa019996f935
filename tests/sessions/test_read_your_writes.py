"""A write that has returned is found on the local replica, whoever writes at the same time and however late that is."""

import peewee
import pytest

import fly_orm
from fly_orm.settings import Settings
from tests.support.pairs import write_and_read

pytestmark = pytest.mark.over_every_transport

THREADS = 8


@pytest.fixture
def pairs(transport_between):
    """How many there are: over other transports than the default one as many as there is time for."""
    return 2000 if transport_between == Settings.transport else 400


def read_after_writing(regions, pairs, **options):
    """What became of the pairs, in a region that sees its own writes as the options say."""
    database = regions.lax(options=options)

    class Row(peewee.Model):
        name = peewee.TextField()
        number = peewee.IntegerField()

    Row.bind(database)
    database.create_tables([Row])
    regions.cluster.wait_for_replica()
    return write_and_read(database, Row, pairs=pairs, threads=THREADS)


@pytest.fixture
def late(cluster):
    """A replica that replays each commit 40 ms after it happened."""
    with cluster.apply_delay(0.04):
        yield


@pytest.mark.parametrize("rtt", [0, pytest.param(0.08, marks=pytest.mark.slow)])
def test_every_read_sees_the_write_before_it(regions, pairs, rtt):
    if rtt:
        regions.wan.rtt = rtt
    done = read_after_writing(regions, pairs)
    assert done.pairs >= pairs
    assert (done.local, done.missed) == (done.pairs, 0)


@pytest.mark.slow
def test_every_read_sees_the_write_before_it_when_replay_is_late(regions, pairs, late):
    done = read_after_writing(regions, pairs)
    assert done.pairs >= pairs
    assert (done.local, done.missed) == (done.pairs, 0)


@pytest.mark.slow
def test_without_waiting_reads_miss_their_writes_when_replay_is_late(regions, pairs, late):
    """Or the tests above would show nothing."""
    done = read_after_writing(regions, pairs, wait="none")
    assert done.pairs >= pairs
    assert done.local == done.pairs
    assert done.missed > 0


def test_who_tries_again_after_a_rollback_does_not_read_the_same_old_data(regions):
    """What the transaction has met on the primary, the next reads see as well, wherever they run."""
    regions.query("CREATE TABLE stock (left_over int)")
    regions.query("INSERT INTO stock VALUES (3)")
    regions.cluster.wait_for_replica()
    lax = regions.lax()
    with regions.cluster.replay_paused():
        regions.query("UPDATE stock SET left_over = 0")
        assert lax.execute_sql("SELECT left_over FROM stock").fetchone() == (3,)
        with lax.atomic() as transaction:
            assert lax.execute_sql("UPDATE stock SET left_over = 2 WHERE left_over = 3").rowcount == 0
            transaction.rollback()
        assert lax.execute_sql("SELECT left_over FROM stock").fetchone() == (0,)
        assert fly_orm.why().route is fly_orm.Route.PRIMARY
    regions.cluster.wait_for_replica()
    assert lax.execute_sql("SELECT left_over FROM stock").fetchone() == (0,)
    assert fly_orm.why().route is fly_orm.Route.LOCAL


def test_reads_that_are_to_run_on_the_primary_do(regions):
    lax = regions.lax(options={"reads": "primary"})
    lax.execute_sql("CREATE TABLE t (i int)")
    with regions.cluster.replay_paused():
        regions.query("INSERT INTO t VALUES (1)")
        assert lax.execute_sql("SELECT i FROM t").fetchall() == [(1,)]
        assert fly_orm.why().route is fly_orm.Route.PRIMARY
    with pytest.raises(fly_orm.ConfigurationError, match="reads must be 'replica' or 'primary', not 'nowhere'"):
        regions.lax(options={"reads": "nowhere"})
