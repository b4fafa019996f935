"""``fly-orm serve`` serves an application, stops when it is asked to, and says what is to be put right."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import ExitStack
from urllib.error import URLError
from urllib.request import urlopen

import peewee
import pytest

import fly_orm
from fly_orm.cli import main
from fly_orm.cli.loading import load
from fly_orm.deadline import Deadline
from tests.support.nodes import environment_in, node_process
from tests.support.two_regions import close, named, settings
from tests.support.waiting import PATIENCE, until

APP = """
import os
from peewee import PostgresqlDatabase
import fly_orm

class shop:
    db = fly_orm.wrap(PostgresqlDatabase("{database}", host="{host}", port={port}, user="{user}"))

other = fly_orm.wrap(PostgresqlDatabase("{database}", host="{host}", port={port}, user="{user}"), name="other")
again = fly_orm.wrap(PostgresqlDatabase("{database}", host="{host}", port={port}, user="{user}"))
"""


@pytest.fixture
def node(cluster, database, tmp_path):
    """Starts ``fly-orm serve`` as its own process, for an application in the current folder."""
    parameters = cluster.primary.params(database)
    (tmp_path / "app.py").write_text(APP.format(database=database, **parameters))
    with ExitStack() as undo:

        def start(*arguments, **variables):
            return undo.enter_context(node_process(*arguments, folder=tmp_path, fresh=True, **variables)).process

        yield start


def lax(cluster, database, address, **options):
    db = peewee.PostgresqlDatabase(**named(cluster.replica, database))
    return fly_orm.wrap(db, settings=settings("lax", address), **options)


def until_it_stops(cluster, database, address):
    """Wait until the node declines new writes."""
    other = lax(cluster, database, address)
    last = Deadline.after(10)
    with pytest.raises(fly_orm.Refused, match="shutting down"):
        while not last.expired:
            other.execute_sql("CREATE TEMP TABLE mine ()")
            other.execute_sql("DISCARD ALL")
    close(other)


def test_a_node_started_from_the_command_line_executes_writes(cluster, database, node):
    process = node("app:shop.db", "app:other")
    announced = process.stdout.readline()
    assert announced.startswith(f"fly-orm: serving other, {database} at 127.0.0.1:"), process.stderr.read()
    address = announced.split()[-1]
    for options in ({}, {"name": "other"}):
        db = lax(cluster, database, address, **options)
        db.execute_sql("CREATE TABLE IF NOT EXISTS t (i int)")
        db.execute_sql("INSERT INTO t VALUES (1)")
        close(db)
    with cluster.primary.connect(database) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM t")
        assert cursor.fetchone() == (2,)


def test_one_database_may_be_named_as_each_module_that_has_it(database, node, tmp_path):
    (tmp_path / "jobs.py").write_text("from app import shop\ndb = shop.db\n")
    process = node("app:shop.db", "jobs:db")
    announced = process.stdout.readline()
    assert announced.startswith(f"fly-orm: serving {database} at 127.0.0.1:"), process.stderr.read()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_node_that_is_asked_to_stop_lets_the_open_transaction_finish(cluster, database, node, number):
    process = node("app:shop.db")
    address = process.stdout.readline().split()[-1]
    db = lax(cluster, database, address)
    with db.atomic():
        db.execute_sql("CREATE TABLE t (i int)")
        process.send_signal(number)
        until_it_stops(cluster, database, address)
        db.execute_sql("INSERT INTO t VALUES (1)")
    assert process.wait(20) == 0
    assert db.execute_sql("SELECT i FROM t").fetchall() == [(1,)]
    with pytest.raises(fly_orm.NotDelivered):
        db.execute_sql("INSERT INTO t VALUES (1)")
    close(db)


@pytest.mark.parametrize(
    ("arguments", "variables", "complaint"),
    [
        (["app:shop.db"], {"FLY_ORM_LISTEN": "0.0.0.0:0", "FLY_ORM_SECRET": ""}, "FLY_ORM_SECRET must be set"),
        (["app:shop.db"], {"FLY_ORM_SECRET": "short"}, "could be guessed"),
        (["app:shop.db"], {"FLY_ORM_LISTEN": "nowhere"}, "FLY_ORM_LISTEN: 'nowhere' is not an address"),
        (["app:shop.db", "--listen=nowhere"], {}, "listen: 'nowhere' is not an address"),
        (["app:shop.db"], {"FLY_ORM_TRANSPORT": "sparrow"}, "no installed distribution provides 'sparrow'"),
        (["app:shop.db"], {"FLY_ORM_LISTENS": "a"}, "did you mean 'FLY_ORM_LISTEN'?"),
        (["app:nothing"], {}, "app has no 'nothing'"),
        (["application:db"], {}, "no module 'application'"),
        (["app"], {}, "write MODULE:ATTRIBUTE"),
        (["app:os"], {}, "no adapter wraps"),
        (["app:shop.db", "app:again"], {}, "two databases are called"),
        (["app:shop.db", "--http=nowhere"], {}, "'nowhere' is not an address for HTTP"),
        (["app:shop.db", "--http=192.0.2.1:0"], {}, "cannot listen for HTTP at '192.0.2.1:0'"),
        (
            ["app:shop.db", "--http=127.0.0.1:0"],
            {"PROMETHEUS_MULTIPROC_DIR": "/missing"},
            "cannot keep metrics in the folder that PROMETHEUS_MULTIPROC_DIR names",
        ),
    ],
)
def test_what_the_user_has_to_put_right_is_one_line_and_exit_code_2(node, arguments, variables, complaint):
    process = node(*arguments, **variables)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 2, err
    assert complaint in err
    assert "Traceback" not in err
    assert out == ""


@pytest.mark.parametrize("command", [["serve"], ["serve", "--workers=2"], ["ledger", "create"], ["check"]])
def test_a_folder_that_was_removed_is_one_line_and_exit_code_2(tmp_path, command):
    folder = tmp_path / "removed"
    folder.mkdir()
    run = f'cd {folder}; rmdir {folder}; exec {sys.executable} -m fly_orm "$@"'
    environment = {**environment_in("syd"), "FLY_ORM_LISTEN": "127.0.0.1:0"}
    done = subprocess.run(
        ["sh", "-c", run, "sh", *command, "app:db"], env=environment, capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 2
    told = " ".join((done.stdout + done.stderr).split())
    assert "the working directory was removed; change to the one of the application" in told
    assert "Traceback" not in told


def logged(process, text):
    """The next line of its log that has the text."""
    return next(line for line in process.stderr if text in line)


def test_a_node_says_where_it_runs_and_which_server_it_is_on(database, node):
    process = node("app:shop.db")
    address = process.stdout.readline().split()[-1]
    line = logged(process, "INFO fly_orm")
    assert f"in region 'syd', the primary region, serves at {address}" in line
    assert f"{database!r} is on the primary localhost:5432" in line


def test_a_node_whose_database_is_a_replica_starts_with_a_warning(cluster, database, node, tmp_path):
    (tmp_path / "app.py").write_text(APP.format(database=database, **cluster.replica.params(database)))
    process = node("app:shop.db")
    assert process.stdout.readline().startswith("fly-orm: serving")
    assert logged(process, "WARNING").endswith("is a replica (pg_is_in_recovery() is true there)\n")


def test_a_node_whose_database_cannot_be_reached_starts_with_a_warning(cluster, database, node, tmp_path):
    parameters = {**cluster.primary.params(database), "port": 1}
    (tmp_path / "app.py").write_text(APP.format(database=database, **parameters))
    process = node("app:shop.db")
    assert process.stdout.readline().startswith("fly-orm: serving")
    assert f"the database {database!r} of this node cannot be reached" in logged(process, "WARNING")


def test_help_is_there(capsys):
    with pytest.raises(SystemExit) as left:
        main(["serve", "--help"])
    assert left.value.code == 0
    assert "MODULE:ATTRIBUTE" in capsys.readouterr().out


def test_an_import_error_inside_the_application_is_shown_as_it_is(tmp_path, monkeypatch):
    (tmp_path / "broken_app.py").write_text("import a_module_that_is_not_there")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="a_module_that_is_not_there"):
        load("broken_app:db")


@pytest.mark.parametrize("wrong", ["-1", "soon"])
def test_a_wrong_idle_timeout_is_refused(capsys, wrong):
    with pytest.raises(SystemExit):
        main(["serve", "app:db", f"--idle-timeout={wrong}"])
    assert "--idle-timeout" in capsys.readouterr().err


def stopped_in_a_transaction(cluster, database, process):
    """Tell a node to stop while a transaction is open; the database with the transaction, and the node's address."""
    address = process.stdout.readline().split()[-1]
    db = lax(cluster, database, address)
    db.begin()
    db.execute_sql("CREATE TABLE t (i int)")
    process.send_signal(signal.SIGTERM)
    return db, address


def test_a_second_signal_ends_a_node_that_waits_for_a_transaction(cluster, database, node):
    process = node("app:shop.db", "--drain-timeout=600")
    db, address = stopped_in_a_transaction(cluster, database, process)
    until_it_stops(cluster, database, address)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 128 + signal.SIGTERM
    assert "SIGTERM came while the node was closing" in process.stderr.read()
    close(db)


def test_health_checks_are_answered_until_the_node_has_stopped(cluster, database, node):
    process = node("app:shop.db", "--http=127.0.0.1:0")
    process.stdout.readline()
    ready = process.stdout.readline().split()[-1]
    until(lambda: answers(ready), "it did not become ready")
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    assert not answers(ready)


def answers(url):
    try:
        return urlopen(url, timeout=60).status == 200
    except URLError:  # of which HTTPError is one
        return False


def test_what_outlasts_the_drain_timeout_is_logged(cluster, database, node):
    process = node("app:shop.db", "--drain-timeout=0.2")
    db, _ = stopped_in_a_transaction(cluster, database, process)
    assert process.wait(60) == 0
    assert f"still in progress: a transaction or session in {database!r} (1)" in process.stderr.read()
    close(db)
