"""The cluster: a real primary and replica that obey, and leave nothing behind."""

import os
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from fly_orm.deadline import now
from fly_orm.testing import Cluster, Server
from tests.support.processes import is_running
from tests.support.shared_cluster import restore
from tests.support.waiting import until

PATIENCE = 20.0


def rows(server: Server, dbname: str) -> int:
    with closing(server.connect(dbname)) as con, con.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM item")
        return int(cursor.fetchone()[0])


def add_row(server: Server, dbname: str) -> None:
    with closing(server.connect(dbname)) as con, con.cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS item (id serial PRIMARY KEY)")
        cursor.execute("INSERT INTO item DEFAULT VALUES")


@pytest.fixture(scope="module")
def own() -> Iterator[Cluster]:
    """A cluster whose servers the tests of this module stop and crash."""
    with Cluster.start() as own:
        yield own


@pytest.fixture(params=["primary", "replica"])
def victim(own: Cluster, request: pytest.FixtureRequest) -> Server:
    """Each of its servers, running."""
    own.primary.start()
    own.replica.start()
    server = getattr(own, request.param)
    assert isinstance(server, Server)
    return server


# Replay


def test_the_replica_has_what_the_primary_committed_once_waited_for(cluster: Cluster, database: str) -> None:
    add_row(cluster.primary, database)
    cluster.wait_for_replica()
    assert rows(cluster.replica, database) == 1


def test_the_replica_refuses_writes(cluster: Cluster, database: str) -> None:
    with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
        add_row(cluster.replica, database)


def test_nothing_is_replayed_while_replay_is_paused(cluster: Cluster, database: str) -> None:
    add_row(cluster.primary, database)
    cluster.wait_for_replica()
    with cluster.replay_paused():
        add_row(cluster.primary, database)
        with pytest.raises(TimeoutError, match=r"has not replayed .* after 0.1 s: its replay is paused"):
            cluster.wait_for_replica(timeout=0.1)
        assert rows(cluster.replica, database) == 1
    cluster.wait_for_replica()
    assert rows(cluster.replica, database) == 2


def test_replay_is_resumed_when_the_block_fails(cluster: Cluster) -> None:
    with pytest.raises(KeyError), cluster.replay_paused():
        raise KeyError
    cluster.wait_for_replica()
    assert not cluster.replica.query("SELECT pg_is_wal_replay_paused()")


def test_the_shared_cluster_is_restored_after_a_test_that_leaves_it_lagging_or_stopped(cluster: Cluster) -> None:
    cluster.pause_replay()
    cluster.apply_delay(30)
    cluster.replica.kill()
    cluster.primary.stop()
    restore(cluster)
    cluster.create_database("after")
    cluster.wait_for_replica()
    cluster.drop_database("after")


def test_the_shared_cluster_gets_a_new_replica_if_that_does_not_start(cluster: Cluster) -> None:
    cluster.replica.kill()
    (cluster.replica.data / "global" / "pg_control").write_bytes(b"")
    restore(cluster)
    cluster.create_database("after")
    cluster.wait_for_replica()
    cluster.drop_database("after")


def test_commits_are_replayed_after_the_delay(cluster: Cluster, database: str) -> None:
    start = now()
    with cluster.apply_delay(0.3):
        add_row(cluster.primary, database)
        cluster.wait_for_replica()
        assert now() - start >= 0.3
    assert cluster.replica.query("SHOW recovery_min_apply_delay") == "0"


def test_taking_the_delay_back_lets_waiting_commits_through(cluster: Cluster, database: str) -> None:
    with cluster.apply_delay(60):
        add_row(cluster.primary, database)
        with pytest.raises(TimeoutError, match="it replays each commit 1min late"):
            cluster.wait_for_replica(timeout=0.1)
    cluster.wait_for_replica()
    assert rows(cluster.replica, database) == 1


def test_what_holds_for_an_outer_block_holds_again_after_an_inner_one(cluster: Cluster, database: str) -> None:
    delay, paused = "SHOW recovery_min_apply_delay", "SELECT pg_is_wal_replay_paused()"
    with cluster.apply_delay(5):
        with cluster.apply_delay(0.1):
            assert cluster.replica.query(delay) == "100ms"
        assert cluster.replica.query(delay) == "5s"
    assert cluster.replica.query(delay) == "0"
    with cluster.replay_paused():
        with cluster.replay_paused():
            pass
        assert cluster.replica.query(paused)
    assert not cluster.replica.query(paused)


# Connections and databases


def test_each_way_to_connect_reaches_the_named_database(cluster: Cluster, database: str) -> None:
    for server in (cluster.primary, cluster.replica):
        for con in (
            server.connect(database),
            psycopg2.connect(**server.params(database)),
            psycopg2.connect(server.dsn(database)),
        ):
            with closing(con), con.cursor() as cursor:
                cursor.execute("SELECT current_database(), pg_is_in_recovery()")
                assert cursor.fetchone() == (database, server is cluster.replica)


def test_its_own_connections_are_in_autocommit(cluster: Cluster) -> None:
    with closing(cluster.primary.connect()) as con:
        assert con.autocommit


def test_a_query_gives_its_first_value(cluster: Cluster) -> None:
    assert cluster.primary.query("SELECT %s, 2", 1) == 1
    assert cluster.primary.query("SELECT 1 WHERE false") is None
    assert cluster.primary.query("SELECT '%'") == "%"


def test_databases_have_any_name_and_are_dropped_under_their_users(cluster: Cluster) -> None:
    name = 'it\'s "odd" {} %s'
    cluster.create_database(name)
    with closing(cluster.primary.connect(name)) as con, con.cursor() as cursor:
        cluster.drop_database(name)
        with pytest.raises(psycopg2.OperationalError):
            cursor.execute("SELECT 1")
    cluster.drop_database(name)


# Servers


@pytest.mark.parametrize("mode", ["smart", "fast", "immediate"])
def test_a_server_stops_and_starts_again(victim: Server, own: Cluster, mode: str) -> None:
    victim.stop(mode)
    assert not victim.running
    assert victim.pid is None
    with pytest.raises(psycopg2.OperationalError):
        victim.connect()
    victim.start()
    assert victim.running
    own.wait_for_replica()


def test_a_server_restarts_as_another_process(victim: Server, own: Cluster) -> None:
    before = victim.pid
    victim.restart()
    assert victim.pid not in (None, before)
    own.wait_for_replica()


def test_starting_a_running_server_does_nothing(victim: Server) -> None:
    before = victim.pid
    victim.start()
    assert victim.pid == before


def test_a_killed_server_disconnects_its_clients_and_keeps_what_was_committed(own: Cluster, victim: Server) -> None:
    add_row(own.primary, "postgres")
    own.wait_for_replica()
    before = rows(victim, "postgres")
    with closing(victim.connect()) as con, con.cursor() as cursor:
        victim.kill()
        assert not victim.running
        with pytest.raises(psycopg2.OperationalError):
            cursor.execute("SELECT 1")
    victim.start()
    own.wait_for_replica()
    assert rows(victim, "postgres") == before


def test_a_server_that_does_not_stop_in_time_says_so(victim: Server) -> None:
    with closing(victim.connect()), pytest.raises(TimeoutError, match=r"did not stop \(smart\)"):
        victim.stop("smart", timeout=0.1)
    victim.stop()
    assert not victim.running


def test_a_server_that_cannot_start_shows_its_log() -> None:
    with Cluster.start(settings={"work_mem": "7MB"}) as own:
        assert own.primary.query("SHOW work_mem") == own.replica.query("SHOW work_mem") == "7MB"
        own.primary.query("ALTER SYSTEM SET shared_preload_libraries = 'no_such_library'")
        with pytest.raises(RuntimeError, match="no_such_library"):
            own.primary.restart()
        assert not own.primary.running


def test_a_promoted_replica_accepts_writes() -> None:
    with Cluster.start() as own:
        add_row(own.primary, "postgres")
        own.wait_for_replica()
        own.primary.kill()
        own.promote()
        assert not own.replica.query("SELECT pg_is_in_recovery()")
        add_row(own.replica, "postgres")
        assert rows(own.replica, "postgres") == 2


@pytest.mark.slow
@pytest.mark.parametrize("diverged", [False, True])
def test_a_demoted_primary_follows_the_new_one_unless_it_has_gone_its_own_way(diverged: bool) -> None:
    with Cluster.start() as own:
        add_row(own.primary, "postgres")
        own.wait_for_replica()
        if not diverged:
            own.primary.stop()
        own.promote()
        if diverged:
            add_row(own.primary, "postgres")
        own.demote()
        assert own.primary.query("SELECT pg_is_in_recovery()")
        add_row(own.replica, "postgres")
        if diverged:
            assert rows(own.primary, "postgres") == 2  # of its own
            own.rebuild(own.primary, own.replica)
            add_row(own.replica, "postgres")
        until(lambda: rows(own.primary, "postgres") == rows(own.replica, "postgres"), "it follows")


# Replication link


@pytest.mark.slow
def test_the_replica_lags_by_the_distance_of_its_link_and_stands_a_cut() -> None:
    with Cluster.start(replication_rtt=0.2) as own:
        assert own.replication_link is not None
        start = now()
        add_row(own.primary, "postgres")
        own.wait_for_replica()
        assert now() - start >= 0.1
        own.replication_link.cut()
        add_row(own.primary, "postgres")
        with pytest.raises(TimeoutError, match="it receives nothing from the primary"):
            own.wait_for_replica(timeout=1)
        own.replication_link.rtt = 0
        own.replication_link.heal()
        own.wait_for_replica()
        assert rows(own.replica, "postgres") == 2


def test_there_is_no_link_unless_asked_for(cluster: Cluster) -> None:
    assert cluster.replication_link is None


# Nothing is left, and nobody gets in


def folder_of(cluster: Cluster) -> Path:
    return cluster.primary.data.parent


def test_closing_leaves_no_folder_and_no_process() -> None:
    own = Cluster.start()
    pids = [own.primary.pid, own.replica.pid]
    own.close()
    assert not folder_of(own).exists()
    assert not any(is_running(pid) for pid in pids)
    own.close()


def test_a_cluster_outlives_the_thread_that_started_it() -> None:
    started: list[Cluster] = []
    starter = threading.Thread(target=lambda: started.append(Cluster.start()))
    starter.start()
    starter.join()
    with started[0] as own:
        add_row(own.primary, "postgres")
        own.wait_for_replica()


def test_a_forked_process_leaves_it_alone(cluster: Cluster) -> None:
    child = os.fork()
    if child == 0:
        cluster.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    cluster.wait_for_replica()


def test_closing_does_not_wait_for_forked_processes() -> None:
    own = Cluster.start()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writing)
        os.read(reading, 1)
        os._exit(0)
    own.close()
    assert not folder_of(own).exists()
    os.close(reading)
    os.close(writing)
    os.waitpid(child, 0)


def test_other_users_cannot_enter(cluster: Cluster) -> None:
    assert folder_of(cluster).stat().st_mode & 0o007 == 0
    assert Path(cluster.primary.host).stat().st_mode & 0o077 == 0
    assert folder_of(cluster).stat().st_uid == os.geteuid()
