"""What functions change in the Postgres session holds in lax as it does on the primary."""

from typing import Any

import pytest

import fly_orm
from fly_orm import Route
from tests.support.one_table import one_table
from tests.support.side_by_side import SideBySide
from tests.support.two_regions import TwoRegions, trips

SETUP = """
    CREATE TABLE doc (id serial PRIMARY KEY, tenant text DEFAULT current_setting('app.tenant', true), body text);
    INSERT INTO doc (tenant, body) VALUES ('a', 'a1'), ('a', 'a2'), ('b', 'b1');
    DO $$BEGIN
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'tenant_user') THEN CREATE ROLE tenant_user; END IF;
    END$$;
    GRANT ALL ON SCHEMA public TO tenant_user;
    GRANT ALL ON doc, doc_id_seq TO tenant_user;
    ALTER TABLE doc ENABLE ROW LEVEL SECURITY;
    CREATE POLICY own ON doc USING (tenant = current_setting('app.tenant', true));
    CREATE FUNCTION set_tenant(text) RETURNS void LANGUAGE plpgsql AS
        $$BEGIN PERFORM set_config('app.tenant', $1, false); END$$;
    CREATE FUNCTION enter(text) RETURNS void LANGUAGE sql AS 'SELECT set_tenant($1)';
    CREATE FUNCTION set_inside(text) RETURNS void STABLE LANGUAGE plpgsql AS $$BEGIN PERFORM set_tenant($1); END$$;
    CREATE FUNCTION set_by_format(t text) RETURNS void LANGUAGE plpgsql AS
        $$BEGIN EXECUTE format('SET app.tenant = %L', t); END$$;
    CREATE FUNCTION set_any(name text, value text) RETURNS void LANGUAGE plpgsql AS
        $$BEGIN EXECUTE 'SELECT set_config($1, $2, false)' USING name, value; END$$;
    CREATE FUNCTION set_computed(name text, value text) RETURNS void LANGUAGE plpgsql AS
        $$BEGIN PERFORM set_config('app.' || name, value, false); END$$;
    CREATE FUNCTION set_for_now(text) RETURNS text LANGUAGE sql AS
        $$SELECT set_config('app.tenant', $1, true)$$;
    CREATE FUNCTION set_and_log(t text) RETURNS void LANGUAGE plpgsql AS
        $$BEGIN PERFORM set_config('app.tenant', t, false); INSERT INTO doc (tenant, body) VALUES (t, 'log'); END$$;
    CREATE FUNCTION atomic(text) RETURNS text BEGIN ATOMIC SELECT set_config('app.tenant', $1, false); END;
    CREATE PROCEDURE use_tenant(text) LANGUAGE plpgsql AS
        $$BEGIN PERFORM set_config('app.tenant', $1, false); END$$;
    CREATE FUNCTION use_path(text) RETURNS void LANGUAGE plpgsql AS
        $$BEGIN PERFORM set_config('search_path', $1, false); END$$;
    CREATE FUNCTION leave() RETURNS void LANGUAGE plpgsql AS $$BEGIN RESET app.tenant; END$$;
    CREATE FUNCTION grab(int) RETURNS bool LANGUAGE sql AS 'SELECT pg_try_advisory_lock($1)';
    CREATE FUNCTION grab_any(text) RETURNS void LANGUAGE plpgsql AS
        $$BEGIN EXECUTE 'SELECT pg_' || $1 || '_lock(7)'; END$$;
    CREATE FUNCTION scratch() RETURNS void LANGUAGE plpgsql AS
        $$BEGIN CREATE TEMP TABLE IF NOT EXISTS pad (i int); INSERT INTO pad VALUES (1); END$$;
    CREATE PROCEDURE scratch_too() LANGUAGE sql AS 'SELECT scratch()';
    CREATE FUNCTION search(text) RETURNS SETOF text LANGUAGE plpgsql AS
        $$BEGIN RETURN QUERY EXECUTE 'SELECT body FROM doc WHERE body LIKE $1 ORDER BY id' USING $1; END$$;
"""
SEEN = """
        SELECT nullif(current_setting('app.tenant', true), '')
        SELECT count(*) FROM doc
        UPDATE doc SET body = body || '!' RETURNING id
        INSERT INTO doc (body) VALUES ('new') RETURNING nullif(tenant, '')
"""
GONE = """
        SELECT nullif(current_setting('app.tenant', true), '')
        UPDATE doc SET body = body || '!' RETURNING id
"""
TERSE = "COSTS off, TIMING off, SUMMARY off, BUFFERS off"
RELEASED = "SELECT pg_advisory_unlock(42)"
ROWS = ", ".join([f"('a', '{'y' * 40}')"] * 250)
#: Each line is a statement.
SCENARIOS = {
    "function": "SELECT set_tenant('a')" + SEEN + "SELECT set_tenant('b')" + SEEN,
    "function of a function": "SELECT enter('a')" + SEEN,
    "dynamic SET": "SELECT set_by_format('a')" + SEEN,
    "any setting": "SELECT set_any('app.tenant', 'a')" + SEEN,
    "computed name": "SELECT set_computed('tenant', 'b')" + SEEN,
    "standard SQL body": "SELECT atomic('a')" + SEEN,
    "writing function": "SELECT set_tenant('b')\nSELECT set_and_log('a')" + SEEN,
    "until the end of the statement": "SELECT set_tenant('b')\nSELECT set_for_now('a')" + SEEN,
    "DO": "DO $$BEGIN PERFORM set_config('app.tenant', 'a', false); END$$" + SEEN,
    "CALL": "CALL use_tenant('a')" + SEEN,
    "in an INSERT": "INSERT INTO doc (tenant, body) SELECT 'a', 'x' FROM set_tenant('a')" + SEEN,
    "after many rows": f"INSERT INTO doc (tenant, body) VALUES {ROWS} RETURNING set_tenant('b')" + SEEN,
    "beside many rows": f"INSERT INTO doc SELECT 5, 'a' FROM (VALUES {ROWS}) x, set_tenant('b') LIMIT 1" + SEEN,
    "lock after many rows": f"INSERT INTO doc (tenant, body) VALUES {ROWS} RETURNING grab(42)\n{RELEASED}",
    "in text that is executed": "SELECT pg_catalog.ts_stat('SELECT to_tsvector(set_tenant(''a'')::text)')" + SEEN,
    "lock in text that is executed": f"SELECT ts_stat('SELECT to_tsvector(grab(42)::text)')\n{RELEASED}",
    "beside a backslash": "SELECT set_tenant('a'), '\\'" + SEEN,
    "lock beside a backslash": "SELECT grab(42) WHERE 'a' LIKE 'a' ESCAPE '\\'\nSELECT pg_advisory_unlock(42)",
    "set beside a backslash": "SET app.tenant TO 'a'\nSELECT set_config('app.tenant', 'b\\', false)" + SEEN,
    "reset": "SELECT set_tenant('a')\nSELECT leave()" + SEEN,
    "search path": """
        SELECT use_path('pg_catalog')
        INSERT INTO doc (body) VALUES ('x')
        SELECT public.use_path('public, pg_catalog')
        INSERT INTO doc (body) VALUES ('x')
    """,
    "committed": "BEGIN\nSELECT set_tenant('a')" + SEEN + "COMMIT" + SEEN,
    "rolled back": "SELECT set_tenant('b')\nBEGIN\nSELECT set_tenant('a')" + SEEN + "ROLLBACK" + SEEN,
    "savepoint": "BEGIN\nSELECT set_tenant('a')\nSAVEPOINT s\nSELECT set_tenant('b')\nROLLBACK TO s\nCOMMIT" + SEEN,
    "local in a transaction": "BEGIN\nSELECT set_for_now('a')" + SEEN + "COMMIT" + GONE,
    "read only transaction": "BEGIN READ ONLY\nSELECT set_tenant('a')\nCOMMIT" + SEEN,
    "read only transaction rolled back": "BEGIN READ ONLY\nSELECT set_tenant('a')\nROLLBACK" + SEEN,
    "after SET": "SET app.tenant TO 'a'" + SEEN + "SELECT set_tenant('b')" + SEEN + "RESET app.tenant" + SEEN,
    "discarded": "SELECT set_tenant('a')\nDISCARD ALL\nSET ROLE tenant_user" + SEEN,
    "lock": """
        SELECT grab(42)
        SELECT grab(42)
        SELECT pg_advisory_unlock(42)
        SELECT pg_advisory_unlock(42)
        SELECT pg_advisory_unlock(42)
    """,
    "lock in dynamic SQL": "SELECT grab_any('advisory')\nSELECT pg_advisory_unlock(7)\nSELECT pg_advisory_unlock(7)",
    "lock in DO": "DO $$BEGIN PERFORM pg_advisory_lock(9); END$$\nSELECT pg_advisory_unlock(9), pg_advisory_unlock(9)",
    "after an operator": "SELECT 'a' OPERATOR(pg_catalog.||) enter('a')::text" + SEEN,
    "spelled with escapes": """SELECT U&"!0065nter" UESCAPE '!' ('a')""" + SEEN,
    "in a stable function": "SELECT set_inside('a')" + SEEN,
    "explained": f"EXPLAIN (ANALYZE, {TERSE}) SELECT 1 FROM enter('a')" + SEEN,
    "explained with a quoted option": f"EXPLAIN (\"analyze\", {TERSE}) SELECT 1 FROM enter('a')" + SEEN,
    "temporary table in CALL": "CALL scratch_too()\nSELECT count(*) FROM pad\nDISCARD ALL\nSELECT count(*) FROM pad",
    "lock in a transaction": "BEGIN\nSELECT grab(42)\nROLLBACK\nSELECT pg_advisory_unlock(42)",
    "temporary table": """
        SELECT scratch()
        SELECT scratch()
        SELECT count(*) FROM pad
        DROP TABLE pad
        SELECT * FROM pad
    """,
    "seed": """
        SELECT setseed(0.5)
        INSERT INTO doc (tenant, body) VALUES ('a', random()) RETURNING body
        SELECT random()
        SET seed TO 0.5
        INSERT INTO doc (tenant, body) VALUES ('a', random()), ('a', random()) RETURNING body
        INSERT INTO doc (tenant, body) VALUES ('a', random()) RETURNING body
    """,
    "dynamic query": "SELECT * FROM search('a%')\nINSERT INTO doc (tenant, body) VALUES ('a', 'x') RETURNING tenant",
}


@pytest.mark.parametrize("mode", ["autocommit", "transactions", "on the primary"])
@pytest.mark.parametrize("name", SCENARIOS)
def test_is_the_same_in_lax(beside: SideBySide, name: str, mode: str) -> None:
    steps = ["SET ROLE tenant_user"] if SEEN in SCENARIOS[name] else []
    steps += [line.strip() for line in SCENARIOS[name].strip().splitlines()]
    on_primary, in_lax = beside.in_mode(mode, steps, setup=SETUP)
    assert in_lax == on_primary


@pytest.mark.usefixtures("no_spare_channels")
class TestWhereItRuns:
    @pytest.fixture
    def db(self, regions: TwoRegions) -> Any:
        regions.query(SETUP)
        regions.cluster.wait_for_replica()
        return regions.lax()

    def route(self, db: Any, sql: str) -> Route:
        db.execute_sql(sql)
        served = fly_orm.why()
        assert served is not None
        return served.route

    def test_a_function_that_sets_a_setting_runs_on_the_replica(self, regions: TwoRegions, db: Any) -> None:
        db.execute_sql("INSERT INTO doc (body) VALUES ('x')")
        assert trips(regions, lambda: db.execute_sql("SELECT set_tenant('a')")) == 0
        assert self.route(db, "SELECT count(*) FROM doc") is Route.LOCAL
        db.execute_sql("INSERT INTO doc (body) VALUES ('x')")
        assert trips(regions, lambda: db.execute_sql("INSERT INTO doc (body) VALUES ('x')")) == 1
        assert self.route(db, "SELECT count(*) FROM doc") is Route.LOCAL

    def test_a_setting_made_on_the_primary_does_not_keep_reads_there(self, db: Any) -> None:
        assert self.route(db, "CALL use_tenant('a')") is Route.PRIMARY
        assert self.route(db, "SELECT count(*) FROM doc") is Route.LOCAL
        assert db.execute_sql("SELECT current_setting('app.tenant')").fetchone() == ("a",)

    def test_a_dynamic_query_does_not_keep_reads_on_the_primary(self, db: Any) -> None:
        assert self.route(db, "SELECT * FROM search('a')") is Route.LOCAL
        assert self.route(db, "SELECT count(*) FROM doc") is Route.LOCAL

    def test_a_lock_keeps_reads_on_the_primary_until_discard_all(self, db: Any) -> None:
        assert self.route(db, "SELECT grab(1)") is Route.PRIMARY
        assert self.route(db, "SELECT count(*) FROM doc") is Route.PRIMARY
        db.execute_sql("DISCARD ALL")
        assert self.route(db, "SELECT count(*) FROM doc") is Route.LOCAL

    def test_a_lock_that_was_not_taken_does_not(self, regions: TwoRegions, db: Any) -> None:
        other = regions.lax()
        other.execute_sql("SELECT grab(1)")
        assert self.route(db, "SELECT grab(1)") is Route.PRIMARY
        assert self.route(db, "SELECT count(*) FROM doc") is Route.LOCAL
        other.close()

    def test_a_new_definition_counts_at_once_where_it_was_made(self, db: Any) -> None:
        db.execute_sql("SELECT search('x')")
        db.execute_sql(
            "CREATE OR REPLACE FUNCTION search(text) RETURNS SETOF text LANGUAGE sql AS "
            "$$SELECT set_config('app.tenant', $1, false)$$"
        )
        db.execute_sql("SELECT search('b')")
        row = db.execute_sql("INSERT INTO doc (body) VALUES ('x') RETURNING tenant").fetchone()
        assert row == ("b",)

    def test_named_functions_keep_the_connection_on_the_primary(self, regions: TwoRegions, db: Any) -> None:
        db = regions.lax(options={"session_functions": ["public.search"]})
        assert self.route(db, "SELECT search('x')") is Route.PRIMARY
        assert self.route(db, "SELECT count(*) FROM doc") is Route.PRIMARY

    def test_named_settings_follow(self, regions: TwoRegions, db: Any) -> None:
        regions.query(
            "CREATE FUNCTION hidden(text) RETURNS void STABLE LANGUAGE plpgsql AS "
            "$$BEGIN EXECUTE 'SELECT set_' || 'config(''app.tenant'', $1, false)' USING $1; END$$"
        )
        regions.cluster.wait_for_replica()
        db = regions.lax(options={"session_functions": {"hidden": ["app.tenant"]}})
        assert self.route(db, "SELECT hidden('b')") is Route.LOCAL
        assert db.execute_sql("INSERT INTO doc (body) VALUES ('x') RETURNING tenant").fetchone() == ("b",)

    @pytest.mark.parametrize("function", ["set_tenant", "enter", "set_and_log", "use_tenant"])
    def test_settings_of_functions_that_are_named_for_the_primary_follow(
        self, regions: TwoRegions, db: Any, function: str
    ) -> None:
        db = regions.lax(options={"primary_functions": ["set_tenant", function]})
        call = f"CALL {function}('a')" if function == "use_tenant" else f"SELECT {function}('a')"
        assert self.route(db, call) is Route.PRIMARY
        assert self.route(db, "SELECT count(*) FROM doc") is Route.LOCAL
        assert db.execute_sql("SELECT current_setting('app.tenant')").fetchone() == ("a",)
        assert db.execute_sql("INSERT INTO doc (body) VALUES ('x') RETURNING tenant").fetchone() == ("a",)

    @pytest.mark.parametrize("function", ["grab(1)", "scratch()"])
    def test_state_of_functions_that_are_named_for_the_primary_keeps_reads_there(
        self, regions: TwoRegions, db: Any, function: str
    ) -> None:
        db = regions.lax(options={"primary_functions": ["grab", "scratch"]})
        assert self.route(db, f"SELECT {function}") is Route.PRIMARY
        assert self.route(db, "SELECT count(*) FROM doc") is Route.PRIMARY


PLPGSQL = "LANGUAGE plpgsql AS $$BEGIN"
#: Functions that execute a command over dblink.
OUTSIDE = {
    "plpgsql": f"{PLPGSQL} PERFORM dblink_exec($1, $2); INSERT INTO doc (body) VALUES ('x'); END$$",
    "alone": f"{PLPGSQL} PERFORM dblink_exec($1, $2); END$$",
    "stable": f"STABLE {PLPGSQL} PERFORM public.dblink_exec($1, $2); END$$",
    "sql": "LANGUAGE sql AS $$SELECT dblink_exec($1, $2)$$",
    "standard": "BEGIN ATOMIC SELECT dblink_exec($1, $2); END",
    "dynamic": f"{PLPGSQL} EXECUTE 'SELECT dblink_exec($1, $2)' USING $1, $2; END$$",
    "computed": f"{PLPGSQL} EXECUTE format('SELECT %I($1, $2)', 'dblink_exec') USING $1, $2; END$$",
    "connected": f"""{PLPGSQL}
        PERFORM dblink_connect('c', $1); PERFORM dblink_exec('c', $2); PERFORM dblink_disconnect('c'); END$$""",
}
CALLS = ("SELECT outer_one(%s, %s)", "SELECT audit(%s, %s)", "EXPLAIN ANALYZE SELECT audit(%s, %s)", "CALL p(%s, %s)")


class TestWhatActsOutsideOfTheDatabase:
    """A rollback does not undo what was done over dblink, so that it must not happen on the replica, too."""

    @pytest.fixture
    def db(self, regions: TwoRegions) -> Any:
        if not regions.query("SELECT count(*) FROM pg_available_extensions WHERE name = 'dblink'"):
            pytest.skip("this PostgreSQL has no dblink")
        regions.query(SETUP + "; CREATE EXTENSION dblink; CREATE TABLE ext (n int)")
        return regions.lax()

    def define(self, regions: TwoRegions, body: str) -> None:
        returns = "text" if "ATOMIC" in body or " sql " in body else "void"
        regions.query(f"""
            CREATE FUNCTION audit(text, text) RETURNS {returns} {body};
            CREATE FUNCTION inner_one(text, text) RETURNS void LANGUAGE sql AS 'SELECT audit($1, $2)';
            CREATE FUNCTION outer_one(text, text) RETURNS void STABLE LANGUAGE plpgsql AS
                'BEGIN PERFORM inner_one($1, $2); END';
            CREATE PROCEDURE p(text, text) LANGUAGE plpgsql AS 'BEGIN PERFORM inner_one($1, $2); END'
        """)
        regions.cluster.wait_for_replica()

    @pytest.mark.parametrize("body", OUTSIDE)
    def test_it_happens_once_and_is_seen(self, regions: TwoRegions, db: Any, body: str) -> None:
        self.define(regions, OUTSIDE[body])
        with regions.cluster.apply_delay(0.2):
            for number, call in enumerate(CALLS, 1):
                db.execute_sql(call, (regions.cluster.primary.dsn(regions.name), "INSERT INTO ext VALUES (1)"))
                assert db.execute_sql("SELECT count(*) FROM ext").fetchone() == (number,)
                served = fly_orm.why()
                assert served is not None
                assert served.route is Route.LOCAL

    @pytest.mark.parametrize("name", ["audit", "public.Audit"])
    def test_the_application_names_what_cannot_be_told(self, regions: TwoRegions, db: Any, name: str) -> None:
        self.define(regions, f"{PLPGSQL} RAISE NOTICE 'outside'; END$$")
        db = regions.lax(options={"primary_functions": [name]})
        for call in CALLS:
            db.execute_sql(call, ("", ""))
            served = fly_orm.why()
            assert served is not None
            assert served.route is Route.PRIMARY
            db.execute_sql("SELECT 1")
            served = fly_orm.why()
            assert served is not None
            assert served.route is Route.LOCAL

    def test_a_copy_to_a_program_is_made_on_the_primary(self, regions: TwoRegions, db: Any) -> None:
        self.define(regions, f"{PLPGSQL} COPY doc TO PROGRAM 'cat > /dev/null'; END$$")
        for call in CALLS:
            db.execute_sql(call, ("", ""))
            served = fly_orm.why()
            assert served is not None
            assert served.route is Route.PRIMARY


@pytest.mark.parametrize(
    "wrong", ["set_tenant", {"set_tenant": "app.tenant"}], ids=["a string", "settings as a string"]
)
def test_a_string_is_no_list_of_functions(regions: TwoRegions, wrong: Any) -> None:
    with pytest.raises(fly_orm.ConfigurationError, match="session_functions"):
        regions.lax(options={"session_functions": wrong})


class TestCost:
    @pytest.mark.parametrize(
        "sql",
        [
            "SELECT count(*), max(name), coalesce(min(name), now()::text) FROM t AS x (id, name)",
            "SELECT * FROM t WHERE name IN ('a', 'b') AND (id = 1 OR lower(name) LIKE 'x')",
            "WITH w (a) AS (SELECT 1) SELECT a::numeric(10, 2), CAST(a AS varchar(3)) FROM w",
            'INSERT INTO "t" ("name") VALUES (upper(\'x\')) RETURNING id',
            "UPDATE t SET (id, name) = (SELECT id + 100, left(name, 3))",
        ],
    )
    def test_nobody_asks_about_functions_of_postgres(self, regions: TwoRegions, sql: str) -> None:
        db = one_table(regions)
        statement = db._fly_orm.classify(sql)
        assert not statement.user_calls
        assert not statement.changes
