"""``fly-orm ledger`` makes the table, and deletes old rows of it."""

from __future__ import annotations

import sys

import pytest

from fly_orm.cli import main
from fly_orm.ledger.pruning import prune
from fly_orm.ledger.table import create_sql
from tests.support.waiting import until

APP = """
from peewee import PostgresqlDatabase
import fly_orm

db = fly_orm.wrap(PostgresqlDatabase("{name}", host="{host}", port={port}, user="{user}"))
"""


@pytest.fixture
def app(regions, tmp_path, monkeypatch):
    """Makes the module of an application on a server; returns the command's name for its database."""
    monkeypatch.chdir(tmp_path)

    def app(server, user=None):
        params = server.params(regions.name)
        params["user"] = user or params["user"]
        (tmp_path / "ledger_app.py").write_text(APP.format(name=regions.name, **params))
        monkeypatch.delitem(sys.modules, "ledger_app", raising=False)
        return "ledger_app:db"

    yield app
    sys.modules.pop("ledger_app", None)


def test_it_makes_a_ledger_that_works_and_does_so_once(regions, app, capsys):
    for done in f"created the ledger of {regions.name}", f"{regions.name} already has a ledger":
        assert main(["ledger", "create", app(regions.cluster.primary)]) == 0
        assert capsys.readouterr().out == f"fly-orm: {done}\n"
    roles = ["--role", "pg_monitor", "--role", "pg_read_all_data"]
    assert main(["ledger", "create", app(regions.cluster.primary), *roles]) == 0
    assert capsys.readouterr().out.endswith("already has a ledger; granted pg_monitor, pg_read_all_data\n")
    regions.query("CREATE TABLE t (a int)")
    regions.lax(options={"exactly_once": True}).execute_sql("INSERT INTO t VALUES (1)")
    assert regions.query("SELECT count(*) FROM fly_orm_ledger") == 1


def test_it_prints_the_sql_for_a_migration(capsys):
    assert main(["ledger", "sql", "--role", 'a"b']) == 0
    assert capsys.readouterr().out == create_sql(['a"b'])
    assert 'TO "a""b";' in create_sql(['a"b'])


def test_on_a_replica_it_says_where_to_run_it(regions, app, capsys):
    assert main(["ledger", "create", app(regions.cluster.replica)]) == 2
    assert "run this command in the primary region" in capsys.readouterr().err


def test_it_prunes_old_rows(regions, app, capsys):
    regions.query(create_sql())
    regions.query(
        "INSERT INTO fly_orm_ledger (key, executed_at) SELECT n::text, now() - n * interval '1 hour'"
        " FROM generate_series(0, 2999) n"
    )
    assert main(["ledger", "prune", app(regions.cluster.primary), "--older-than", "7201"]) == 0
    assert capsys.readouterr().out == f"fly-orm: deleted 2997 rows from the ledger of {regions.name}\n"
    for wrong in "60", "2h", "none", "inf", "nan", "1e300":
        with pytest.raises(SystemExit):
            main(["ledger", "prune", "app:db", "--older-than", wrong])
        assert f"'{wrong}': write seconds, at least 3600, such as 7200" in capsys.readouterr().err


def test_it_keeps_the_keys_of_operations_longer(regions, app, capsys):
    server = regions.cluster.primary
    regions.query(create_sql())
    regions.query(
        "INSERT INTO fly_orm_ledger (key, what, executed_at) SELECT hours, 'a write', now() - hours * interval '1 hour'"
        " FROM unnest(ARRAY[2, 48, 24 * 31]) hours"
    )
    assert main(["ledger", "prune", app(server)]) == 0
    assert regions.query("SELECT array_agg(key ORDER BY executed_at) FROM fly_orm_ledger") == ["48", "2"]
    assert main(["ledger", "prune", app(server), "--keys-older-than", "7300"]) == 0
    assert regions.query("SELECT array_agg(key) FROM fly_orm_ledger") == ["2"]


def test_without_a_ledger_or_its_owner_it_says_what_to_do(regions, app, capsys):
    server = regions.cluster.primary
    assert main(["ledger", "prune", app(server)]) == 2
    error = f"fly-orm: {regions.name!r} has no ledger; `fly-orm ledger create ledger_app:db` makes one\n"
    assert capsys.readouterr().err == error
    role = f"other_{regions.name}"
    regions.query(f"CREATE ROLE {role} LOGIN; REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    try:
        assert main(["ledger", "create", app(server, role)]) == 2
        assert capsys.readouterr().err.endswith(
            "permission denied for schema public. Connect as the owner of the table, or as a role that has CREATE on"
            " the schema public\n"
        )
        regions.query(create_sql())
        assert main(["ledger", "prune", app(server, role)]) == 2
        assert "Connect as the owner of public.fly_orm_ledger" in capsys.readouterr().err
        assert main(["ledger", "create", app(server, role)]) == 2
        assert "Connect as the owner" in capsys.readouterr().err
    finally:
        regions.query(f"DROP ROLE {role}")


def test_only_one_prunes_at_a_time(regions):
    regions.query(create_sql())
    regions.query("INSERT INTO fly_orm_ledger (key, executed_at) VALUES ('old', '2000-01-01')")
    first, second = (regions.cluster.primary.connect(regions.name) for _ in range(2))
    first.autocommit = second.autocommit = True
    with first.cursor() as cursor:
        cursor.execute("BEGIN; SELECT pg_advisory_xact_lock(7146352061848)")
        assert prune(second) == 0
        cursor.execute("COMMIT")
    assert prune(second) == 1
    first.close()
    second.close()


def test_a_node_prunes_while_the_ledger_is_in_use(regions, monkeypatch):
    monkeypatch.setattr("fly_orm.serving.ledger_pruner.INTERVAL", 0.0)
    regions.query(create_sql() + "; CREATE TABLE t (a int)")
    regions.query("INSERT INTO fly_orm_ledger (key, executed_at) VALUES ('old', '2000-01-01')")
    regions.cluster.wait_for_replica()
    db = regions.lax(options={"exactly_once": True})

    def is_gone():
        db.execute_sql("INSERT INTO t VALUES (1)")
        return regions.query("SELECT count(*) FROM fly_orm_ledger WHERE key = 'old'") == 0

    until(is_gone)


def test_a_node_goes_on_while_there_are_more_old_rows(regions, monkeypatch):
    """Otherwise, a ledger with many writes would grow without bound."""
    regions.query(create_sql() + "; CREATE TABLE t (a int)")
    regions.query(
        "INSERT INTO fly_orm_ledger (key, executed_at) SELECT n, '2000-01-01' FROM generate_series(1, 2500) n"
    )
    regions.cluster.wait_for_replica()
    monkeypatch.setattr("fly_orm.serving.ledger_pruner.random.uniform", lambda *_: 0.0)  # the first look is at once
    monkeypatch.setattr("fly_orm.serving.ledger_pruner._BATCHES", 1)
    monkeypatch.setattr("fly_orm.serving.ledger_pruner.BUSY_INTERVAL", 0.0)
    db = regions.lax(options={"exactly_once": True})

    def are_gone():
        db.execute_sql("INSERT INTO t VALUES (1)")
        return regions.query("SELECT count(*) FROM fly_orm_ledger WHERE executed_at < '2001-01-01'") == 0

    until(are_gone)
