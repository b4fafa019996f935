"""Two regions for the tests of an application: the class, its assertions, and the command."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import closing
from functools import partial
from pathlib import Path
from urllib.parse import unquote

import peewee
import psycopg2
import pytest

import fly_orm
from fly_orm.deadline import now
from fly_orm.testing import TwoRegions
from fly_orm.testing import __main__ as command
from tests.support.two_regions import close, named


class Note(peewee.Model):
    text = peewee.TextField()


@pytest.fixture(scope="module")
def both():
    with TwoRegions(replicas=2) as made:
        yield made


@pytest.fixture
def lax(both):
    """A wrapped database in lax, with an empty table."""
    parameters = both.parameters()
    database = both.wrap(peewee.PostgresqlDatabase(parameters.pop("dbname"), **parameters))
    with database.bind_ctx([Note]):
        Note.create_table()
        both.reset()
        yield database
    close(database)


def test_a_write_in_lax_is_on_the_primary_and_on_both_replicas(both, lax):
    with both.assert_round_trips(1):
        Note.create(text="a")
    with both.assert_local():
        assert Note.get().text == "a"
    syd = both.wrap(peewee.PostgresqlDatabase(**named(both.cluster.primary, "test")), "syd")
    with syd.bind_ctx([Note]):
        assert Note.get().text == "a"
    close(syd)
    both.cluster.wait_for_replica(*both.replicas)
    for server in both.replicas:
        with closing(server.connect("test")) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT text FROM note")
            assert cursor.fetchall() == [("a",)]


def test_what_is_not_as_claimed_fails_and_says_what_was_executed(both, lax):
    with (
        pytest.raises(AssertionError, match=r"1 round trips instead of 2:\n  1 × INSERT INTO"),
        both.assert_round_trips(2),
    ):
        Note.create(text="a")
    with pytest.raises(AssertionError, match=r"not all was served in this region:\n  1 × INSERT"), both.assert_local():
        Note.create(text="a")
    with (
        pytest.raises(AssertionError, match=r"stale reads:\n  SELECT"),
        both.late_replica(),
        fly_orm.wait_for("none"),
        both.assert_fresh(),
    ):
        Note.create(text="b")
        assert Note.select().count() == 2


def test_a_read_that_waits_for_a_late_replica_is_fresh(both, lax):
    with both.late_replica(0.3), fly_orm.wait_for("read"), both.assert_fresh():
        Note.create(text="a")
        assert Note.select().count() == 1


def test_a_stale_read_is_found_after_a_restart_of_the_primary(both, lax):
    with (
        pytest.raises(AssertionError, match=r"stale reads:\n  SELECT"),
        both.late_replica(),
        fly_orm.wait_for("none"),
        both.assert_fresh(),
    ):
        Note.create(text="a")
        both.cluster.primary.restart()
        assert Note.select().count() == 0


def test_a_read_on_a_replica_that_was_restarted_is_fresh_if_it_shows_everything(both, lax):
    Note.create(text="a")
    lax.close()
    for server in (both.cluster.primary, *both.replicas):
        server.query("CHECKPOINT")
    for server in both.replicas:
        server.restart()
    both.cluster.wait_for_replica(*both.replicas)
    with both.assert_fresh():
        assert Note.select().count() == 1
    with (
        pytest.raises(AssertionError, match=r"stale reads:\n  SELECT"),
        both.late_replica(),
        fly_orm.wait_for("none"),
        both.assert_fresh(),
    ):
        Note.create(text="b")
        assert Note.select().count() == 1


def test_a_read_that_may_be_stale_is_not_taken_for_fresh(both, lax):
    with (
        pytest.raises(AssertionError, match=r"may be stale:\n  SELECT .*: the primary does not tell what it shows"),
        both.late_replica(),
        fly_orm.wait_for("none"),
        both.assert_fresh(),
    ):
        Note.create(text="a")
        both.cluster.primary.stop()
        assert Note.select().count() == 0
    both.cluster.primary.start()


def test_a_reset_empties_tables_and_begins_sequences_again(both, lax):
    Note.create(text="a")
    both.reset("note")
    assert Note.select().count() == 1
    both.reset()
    assert Note.select().count() == 0
    assert Note.create(text="b").id == 1


def test_a_reset_empties_the_tables_of_all_databases_that_tests_have_created(both, lax):
    both.cluster.create_database("stats")
    with closing(both.cluster.primary.connect("stats")) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE hit (id serial); INSERT INTO hit DEFAULT VALUES; INSERT INTO hit DEFAULT VALUES")
        Note.create(text="a")
        both.reset("hit")
        assert Note.select().count() == 0
        cursor.execute("SELECT count(*) FROM hit")
        assert cursor.fetchall() == [(2,)]
        both.reset()
        cursor.execute("SELECT count(*) FROM hit")
        assert cursor.fetchall() == [(0,)]
    both.cluster.drop_database("stats")


def test_a_transaction_that_a_test_has_left_open_is_named(both, lax, monkeypatch):
    monkeypatch.setattr("fly_orm.testing.tables.LOCK_TIMEOUT", 1)
    with closing(psycopg2.connect(**both.parameters("syd"))) as connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO note (text) VALUES ('left open')")
        with pytest.raises(RuntimeError, match=r"a test has left a transaction open: process .*left open"):
            both.reset()
    both.reset()


def test_a_transaction_that_a_test_has_left_open_on_a_replica_is_named(both, lax, monkeypatch):
    monkeypatch.setattr("fly_orm.testing.two_regions.LOCK_TIMEOUT", 1)
    Note.create(text="a")
    both.cluster.wait_for_replica(*both.replicas)
    with closing(psycopg2.connect(**named(both.replicas[1], "test"))) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT text FROM note /* left open */")
        with pytest.raises(RuntimeError, match=r"emptied on the replica 2 within 1 s.* left .*/\* left open"):
            both.reset()
    both.reset()


def test_a_server_that_a_test_has_left_stopped_is_named(both, lax):
    for server in (both.cluster.primary, both.replicas[1]):
        server.stop()
        with pytest.raises(RuntimeError, match=f"the {server.name} is stopped"):
            both.reset()
        server.start()
    both.reset()


def test_there_is_no_reset_while_replay_is_paused(both, lax):
    Note.create(text="a")
    with (
        both.late_replica(),
        pytest.raises(RuntimeError, match=r"the replica is paused, by late_replica\(\)"),
    ):
        both.reset()
    both.reset()


def test_a_network_is_healed_at_once_where_no_replica_can_catch_up(both, lax):
    start = now()
    with both.late_replica():
        Note.create(text="a")
        with both.cut():
            pass
    with both.cut():
        both.cluster.primary.stop("immediate")
    both.cluster.primary.start()
    assert now() - start < 25
    both.reset()


def test_a_cut_inside_of_a_cut_leaves_the_network_cut(both, lax):
    with both.cut():
        with both.cut():
            pass
        with pytest.raises(fly_orm.NotDelivered):
            Note.create(text="a")
    Note.create(text="b")


def test_cut_and_restarted(both, lax):
    with both.cut(), pytest.raises(fly_orm.NotDelivered):
        Note.create(text="a")
    both.restart_node()
    Note.create(text="b")
    assert [note.text for note in Note.select()] == ["b"]


def test_a_distance_counts_for_the_node_and_for_replication(both):
    both.rtt = 0.01
    assert (both.wan.rtt, both.cluster.replication_link.rtt) == (0.01, 0.01)
    both.rtt = 0


def test_a_region_that_there_is_not(both):
    with pytest.raises(ValueError, match=r"there are two regions, 'syd' and 'lax', but not 'ams'"):
        both.parameters("ams")


def test_a_node_that_does_not_start_says_why():
    with pytest.raises(RuntimeError, match=r"the node did not start: python -m fly_orm serve nowhere:db .*\n.*nowhere"):
        TwoRegions("nowhere:db")


def test_the_command_says_what_is_missing():
    environment = {**os.environ, "PG_BIN": "/nowhere"}
    ended = subprocess.run(
        [sys.executable, "-m", "fly_orm.testing"], env=environment, stderr=subprocess.PIPE, text=True
    )
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert "/nowhere has no initdb" in ended.stderr


@pytest.mark.parametrize(
    ("option", "complaint"),
    [
        ("--replicas=0", "--replicas: 1 or more, not 0"),
        ("--replicas=one", "--replicas: 1 or more, not one"),
        ("--rtt=-1", "--rtt: 0 or more seconds, not -1"),
        ("--rtt=nan", "--rtt: 0 or more seconds, not nan"),
        ("--rtt=inf", "--rtt: 0 or more seconds, not inf"),
    ],
)
def test_the_command_takes_no_senseless_numbers(capsys, monkeypatch, option, complaint):
    monkeypatch.setattr(sys, "argv", ["fly_orm.testing", option])
    with pytest.raises(SystemExit, match="2"):
        command.main()
    assert f"argument {complaint}" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_the_command_prints_variables_of_both_regions_and_stops(number):
    arguments = [sys.executable, "-m", "fly_orm.testing", "--rtt", "0"]
    usual = partial(signal.signal, number, signal.SIG_DFL)  # the tests may run under nohup
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, preexec_fn=usual) as process:
        lines = [process.stdout.readline().rstrip() for _ in range(10)]
        process.send_signal(number)
        assert process.wait(30) == 0
    assert [lines[0], lines[5]] == ["# a process in syd", "# a process in lax"]
    assert "export FLY_REGION=lax" in lines
    folders = {Path(unquote(found[1])) for line in lines if (found := re.search(r"host=([^&]+)", line))}
    assert [folder.exists() for folder in folders] == [False]
