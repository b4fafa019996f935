"""What a session begins with in lax is what those begin with that serve it on the primary."""

from __future__ import annotations

from typing import Any

import peewee
import pytest

import fly_orm
from tests.support.two_regions import TwoRegions, two_regions

ISOLATION = "default_transaction_isolation"
TABLE = """
    CREATE SCHEMA one; CREATE SCHEMA two;
    CREATE TABLE one.t (id serial, i int); CREATE TABLE two.t (id serial, i int);
    CREATE TABLE t (id serial, i int, tenant text DEFAULT current_setting('app.tenant', true))"""


@pytest.fixture
def made(regions: TwoRegions) -> TwoRegions:
    """The regions, with their tables."""
    regions.query(TABLE)
    regions.cluster.wait_for_replica()
    return regions


def shown(db: Any, *names: str) -> tuple[Any, ...]:
    """Session settings, as a statement on the primary sees them."""
    values = ", ".join(f"current_setting('{name}', true)" for name in names)
    row: tuple[Any, ...] = db.execute_sql(f"INSERT INTO public.t DEFAULT VALUES RETURNING {values}").fetchone()
    return row


def alter(regions: TwoRegions, change: str) -> None:
    regions.query(f'ALTER DATABASE "{regions.name}" {change}')
    regions.cluster.wait_for_replica()


class TestOptions:
    def test_of_a_connection_string_hold_for_writes(self, made: TwoRegions) -> None:
        startup = r"-c search_path=two,\ public --lock-timeout=7s -capp.tenant=it\'s -S 5MB"
        names = ("search_path", "lock_timeout", "app.tenant", "work_mem", "statement_timeout")
        assert shown(made.lax(startup=startup), *names) == ("two, public", "7s", "it's", "5MB", "0")
        assert shown(made.plain(startup=startup), *names) == ("two, public", "7s", "it's", "5MB", "0")

    def test_of_the_environment_do_too(self, made: TwoRegions, monkeypatch: pytest.MonkeyPatch) -> None:
        first = made.lax()
        assert shown(first, "lock_timeout", "application_name") == ("0", "")
        monkeypatch.setenv("PGOPTIONS", "-c lock_timeout=7s")
        monkeypatch.setenv("PGAPPNAME", "shop in lax")
        monkeypatch.setenv("PGGEQO", "off")
        second = made.lax()
        assert shown(second, "lock_timeout", "application_name", "geqo") == ("7s", "shop in lax", "off")
        assert shown(first, "lock_timeout", "application_name", "geqo") == ("0", "", "on")
        monkeypatch.setenv("PGGEQO", "Default")
        assert shown(made.lax(), "geqo") == ("on",)

    def test_bound_a_write(self, made: TwoRegions) -> None:
        with pytest.raises(peewee.OperationalError, match="due to statement timeout"):
            made.lax(startup="-c statement_timeout=100").execute_sql("INSERT INTO t SELECT 1 FROM pg_sleep(5)")

    def test_of_a_tenant_choose_its_tables(self, made: TwoRegions) -> None:
        tenants = {schema: made.lax(startup=f"-c search_path={schema}") for schema in ("one", "two")}
        for number in range(6):
            schema = "one" if number % 3 else "two"
            db = tenants[schema]
            with db.atomic() if number % 2 else db.connection_context():
                db.execute_sql("INSERT INTO t (i) VALUES (%s)", (number,))
        for schema, db in tenants.items():
            assert (
                db.execute_sql("SELECT i FROM t ORDER BY id").fetchall()
                == made.plain().execute_sql(f"SELECT i FROM {schema}.t ORDER BY id").fetchall()
            )

    @pytest.mark.parametrize("reset", ["RESET lock_timeout", "SET lock_timeout TO DEFAULT", "RESET ALL"])
    def test_are_what_a_reset_returns_to(self, made: TwoRegions, reset: str) -> None:
        db = made.lax(startup="-c lock_timeout=7s -c statement_timeout=8s")
        db.execute_sql("SET lock_timeout TO '9s'")
        assert shown(db, "lock_timeout") == ("9s",)
        with db.atomic():
            assert shown(db, "lock_timeout", "statement_timeout") == ("9s", "8s")
            db.execute_sql(reset)
            assert shown(db, "lock_timeout", "statement_timeout") == ("7s", "8s")
        assert shown(db, "lock_timeout", "statement_timeout") == ("7s", "8s")
        assert db.execute_sql("SHOW lock_timeout").fetchone() == ("7s",)

    def test_that_only_the_node_has_do_not_hold_for_its_callers(self, cluster: Any, database: str) -> None:
        with two_regions(cluster, database, node={"options": "-c lock_timeout=7s -c app.node=x"}) as regions:
            regions.query(TABLE)
            assert shown(regions.lax(), "lock_timeout", "application_name") == ("0", "")


class TestAlterDatabase:
    def test_reaches_sessions_that_begin_later(self, made: TwoRegions) -> None:
        db = made.lax()
        assert shown(db, "search_path") == ('"$user", public',)
        alter(made, "SET search_path TO two, public")
        assert shown(db, "search_path") == ('"$user", public',)
        for change, wanted in (
            ("SET search_path TO two, public", "two, public"),
            ("SET search_path TO one", "one"),
            ("RESET search_path", '"$user", public'),
        ):
            alter(made, change)
            db.close()
            assert shown(db, "search_path") == (wanted,)
            assert db.execute_sql("SHOW search_path").fetchone() == (wanted,)

    def test_counts_as_soon_as_the_replica_knows_of_it(self, made: TwoRegions) -> None:
        with made.cluster.replay_paused():
            made.query(f"ALTER DATABASE \"{made.name}\" SET lock_timeout TO '7s'")
            assert shown(made.lax(options={"replication_timeout": 0}), "lock_timeout") == ("0",)
        made.cluster.wait_for_replica()
        assert shown(made.lax(), "lock_timeout") == ("7s",)

    @pytest.mark.parametrize("startup", ["", "-c statement_timeout=8s"])
    def test_counts_at_once_for_a_session_that_has_seen_more_than_the_replica(
        self, made: TwoRegions, startup: str
    ) -> None:
        db = made.lax(options={"replication_timeout": 0}, startup=startup)
        with made.cluster.replay_paused():
            db.execute_sql(f'ALTER DATABASE "{made.name}" SET search_path TO two')
            db.close()
            db.execute_sql("INSERT INTO t (i) VALUES (1)")
            assert db.execute_sql("SELECT i FROM t").fetchall() == [(1,)]
            assert db.execute_sql("SHOW statement_timeout").fetchone() == ("8s" if startup else "0",)
        assert made.query("SELECT count(*) FROM two.t") == 1
        made.cluster.wait_for_replica()
        assert db.execute_sql("SELECT i FROM t").fetchall() == [(1,)]
        assert db.execute_sql("SHOW search_path").fetchone() == ("two",)
        db.close()
        assert db.execute_sql("SELECT i FROM t").fetchall() == [(1,)]
        assert fly_orm.why().route is fly_orm.Route.LOCAL  # type: ignore[union-attr]


@pytest.mark.parametrize("way", ["database", "options"])
class TestSerializableByDefault:
    @pytest.fixture
    def db(self, made: TwoRegions, way: str) -> Any:
        if way == "database":
            alter(made, f"SET {ISOLATION} TO serializable")
        return made.lax(startup=f"-c {ISOLATION}=serializable" if way == "options" else "")

    def test_reads_run_on_the_replica_and_see_what_was_written(self, made: TwoRegions, db: Any) -> None:
        made.cluster.apply_delay(0.05)
        db.execute_sql("INSERT INTO t (i) VALUES (1)")
        assert db.execute_sql("SELECT i FROM t").fetchall() == [(1,)]
        assert fly_orm.why().route is fly_orm.Route.LOCAL  # type: ignore[union-attr]

    @pytest.mark.parametrize("sql", ["SELECT 1", "RESET ALL", "DISCARD ALL"])
    def test_transactions_have_that_level(self, db: Any, sql: str) -> None:
        db.execute_sql(sql)
        assert shown(db, "transaction_isolation") == ("serializable",)
        with db.atomic():
            assert db.execute_sql("SHOW transaction_isolation").fetchone() == ("serializable",)
        assert db.execute_sql(f"SHOW {ISOLATION}").fetchone() == ("serializable",)
        assert db.execute_sql("SELECT count(*) FROM t").fetchone() == (1,)
        assert fly_orm.why().route is fly_orm.Route.LOCAL  # type: ignore[union-attr]
