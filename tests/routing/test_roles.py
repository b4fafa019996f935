"""Statements on the primary run as the caller's role, or not at all."""

from __future__ import annotations

from contextlib import ExitStack

import peewee
import pytest
from psycopg2 import errors

import fly_orm
from tests.support.roles import Cast


@pytest.fixture
def cast(cluster, database):
    with ExitStack() as undo:
        yield Cast(cluster, database, undo)


@pytest.fixture(params=["superuser", "member"])
def regions(request, cast):
    """The node's own role is a superuser, or a member of the callers'."""
    if request.param == "superuser":
        return cast.regions()
    cast.sql(f'GRANT "{cast.ann}", "{cast.bob}" TO "{cast.node}"')
    return cast.regions(user=cast.node)


def rows(cursor):
    return cursor.fetchall()


class TestTheCallersRole:
    def test_changes_its_own_rows_and_no_others(self, cast, regions):
        ann, bob = regions.lax(user=cast.ann), regions.lax(user=cast.bob)
        assert bob.execute_sql("UPDATE doc SET body = body || '!'").rowcount == 2
        assert ann.execute_sql("UPDATE doc SET body = body || '?'").rowcount == 1
        with bob.atomic():
            assert bob.execute_sql("DELETE FROM doc WHERE body = '2!'").rowcount == 1
        assert cast.sql("SELECT body FROM doc ORDER BY id") == [("1?",), ("3!",)]

    def test_is_what_defaults_store(self, cast, regions):
        ann = regions.lax(user=cast.ann)
        tenant, by = rows(ann.execute_sql("INSERT INTO doc DEFAULT VALUES RETURNING tenant, by"))[0]
        assert tenant == cast.ann
        assert by in (cast.ann, cast.node)  # a node that is no superuser keeps its own as the session's user

    def test_may_do_no_more_than_it_may(self, cast, regions):
        cast.sql(f'REVOKE UPDATE ON doc FROM "{cast.ann}"')
        with pytest.raises(peewee.ProgrammingError) as caught:
            regions.lax(user=cast.ann).execute_sql("UPDATE doc SET body = 'x'")
        assert isinstance(caught.value.orig, errors.InsufficientPrivilege)

    @pytest.mark.parametrize(
        "sql",
        [
            "RESET ROLE",
            "SET ROLE NONE",
            "SET ROLE TO DEFAULT",
            "SET SESSION AUTHORIZATION DEFAULT",
            "RESET SESSION AUTHORIZATION",
            "SELECT set_config('role', 'none', false)",
            "RESET ALL",
        ],
    )
    def test_is_what_a_reset_returns_to(self, cast, regions, sql):
        ann = regions.lax(user=cast.ann)
        with ann.atomic():
            ann.execute_sql("SELECT pg_current_xact_id()")
            ann.execute_sql(sql)
            assert rows(ann.execute_sql("SELECT current_user"))[0] == (cast.ann,)
        with ann.atomic():
            assert rows(ann.execute_sql("SELECT current_user, pg_current_xact_id() IS NULL"))[0] == (cast.ann, False)

    def test_may_take_another_one_that_it_is_a_member_of(self, cast, regions):
        cast.sql(f'GRANT "{cast.bob}" TO "{cast.ann}"')
        ann = regions.lax(user=cast.ann)
        ann.execute_sql(f'SET ROLE "{cast.bob}"')
        assert ann.execute_sql("UPDATE doc SET body = 'x'").rowcount == 2
        ann.execute_sql("RESET ROLE")
        assert ann.execute_sql("UPDATE doc SET body = 'x'").rowcount == 1

    def test_outlasts_a_reset_of_all_settings_if_it_was_taken(self, cast, regions):
        cast.sql(f'GRANT "{cast.bob}" TO "{cast.ann}"')
        db = regions.lax(user=cast.ann)
        db.execute_sql(f'SET ROLE "{cast.bob}"')
        with db.atomic():
            db.execute_sql("RESET ALL")
            assert db.execute_sql("SELECT current_user::text FROM doc FOR UPDATE").fetchall() == [(cast.bob,)] * 2

    def test_is_not_left_to_the_next_caller(self, cast, regions):
        for user in (cast.ann, cast.bob, cast.ann):
            db = regions.lax(user=user)
            with db.atomic():
                assert rows(db.execute_sql("SELECT current_user, pg_current_xact_id() IS NULL"))[0] == (user, False)

    def test_has_the_settings_of_its_own_on_the_primary(self, cast, regions):
        cast.sql(
            f"""ALTER ROLE "{cast.ann}" SET search_path TO pg_catalog, "$user", public;
            ALTER ROLE "{cast.ann}" SET app.tenant TO 'a, "b';
            ALTER ROLE "{cast.ann}" SET log_min_duration_statement TO 9;
            ALTER ROLE "{cast.bob}" IN DATABASE {cast.database} SET lock_timeout TO '7s';
            ALTER ROLE "{cast.node}" SET statement_timeout TO '9s';
            ALTER DATABASE {cast.database} SET lock_timeout TO '5s'"""
        )
        names = ("search_path", "app.tenant", "lock_timeout", "statement_timeout")
        wanted = {
            cast.ann: ('pg_catalog, "$user", public', 'a, "b', "5s", "0"),
            cast.bob: ('"$user", public', None, "7s", "0"),
        }
        for user in (cast.ann, cast.bob, cast.ann):
            db = regions.lax(user=user)
            shown = ", ".join(f"current_setting('{name}', true)" for name in names)
            sql = f"INSERT INTO public.doc DEFAULT VALUES RETURNING {shown}"
            assert rows(db.execute_sql(sql))[0] == wanted[user]

    def test_given_by_alter_role_is_that_of_its_statements(self, cast, regions):
        cast.sql(f'GRANT "{cast.bob}" TO "{cast.ann}"; ALTER ROLE "{cast.ann}" SET role TO "{cast.bob}"')
        ann = regions.lax(user=cast.ann)
        assert ann.execute_sql("UPDATE doc SET body = 'x'").rowcount == 2
        with ann.atomic():
            assert ann.execute_sql("UPDATE doc SET body = 'x'").rowcount == 2
            ann.execute_sql("RESET ROLE")
            assert ann.execute_sql("UPDATE doc SET body = 'x'").rowcount == 2

    def test_given_by_alter_role_is_ignored_if_postgres_ignores_it(self, cast, regions):
        cast.sql(f'ALTER ROLE "{cast.ann}" SET role TO "{cast.bob}"')
        for change, visible in (("SELECT", 1), ('GRANT "{0}" TO "{1}"', 2), ('REVOKE "{0}" FROM "{1}"', 1)):
            cast.sql(change.format(cast.bob, cast.ann))
            for db in (regions.plain(user=cast.ann), regions.lax(user=cast.ann)):
                assert db.execute_sql("UPDATE doc SET body = 'x'").rowcount == visible
                db.close()


class TestARoleThatTheNodeMayNotTake:
    def test_is_refused_before_anything_runs_with_what_to_grant(self, cast):
        regions = cast.regions(user=cast.node)
        ann = regions.lax(user=cast.ann)
        with pytest.raises(fly_orm.Refused, match=f'GRANT "{cast.ann}" TO "{cast.node}"') as caught:
            ann.execute_sql("UPDATE doc SET body = 'x'")
        assert caught.value.reason == "no role"
        assert cast.sql("SELECT count(*) FROM doc WHERE body = 'x'") == [(0,)]
        cast.sql(f'GRANT "{cast.ann}" TO "{cast.node}"')
        assert ann.execute_sql("UPDATE doc SET body = 'x'").rowcount == 1

    def test_does_not_exist_on_the_primary_any_more(self, cast, regions):
        with cast.cluster.replay_paused():
            with cast.cluster.primary.connect(cast.database) as connection, connection.cursor() as cursor:
                cursor.execute(f'ALTER ROLE "{cast.bob}" RENAME TO "{cast.bob}_renamed"')
            connection.close()
            try:
                with pytest.raises(fly_orm.Refused, match="does not exist"):
                    regions.lax(user=cast.bob).execute_sql("UPDATE doc SET body = 'x'")
            finally:
                cast.cluster.primary.query(f'ALTER ROLE "{cast.bob}_renamed" RENAME TO "{cast.bob}"')

    def test_begins_with_a_setting_that_the_node_may_not_make(self, cast):
        cast.sql(
            f'GRANT "{cast.ann}" TO "{cast.node}"; ALTER ROLE "{cast.ann}" SET session_replication_role TO replica'
        )
        ann = cast.regions(user=cast.node).lax(user=cast.ann)
        with pytest.raises(fly_orm.Refused, match="GRANT SET ON PARAMETER"):
            ann.execute_sql("UPDATE doc SET body = 'x'")


def test_a_superuser_that_serves_other_roles_says_so_once(cast, caplog):
    regions = cast.regions()
    with caplog.at_level("WARNING", "fly_orm"):
        for user in (cast.ann, cast.bob, cast.ann):
            regions.lax(user=user).execute_sql("UPDATE doc SET body = 'x'")
    assert len([text for text in caplog.messages if "a superuser" in text]) == 1


def test_a_member_that_serves_other_roles_says_nothing(cast, caplog):
    cast.sql(f'GRANT "{cast.ann}" TO "{cast.node}"')
    with caplog.at_level("WARNING", "fly_orm"):
        cast.regions(user=cast.node).lax(user=cast.ann).execute_sql("UPDATE doc SET body = 'x'")
    assert caplog.messages == []


def test_the_role_of_a_caller_and_the_node_may_have_any_name(cast):
    odd = f"Ödd\\ \"{cast.database}' role"
    quoted = '"' + odd.replace('"', '""') + '"'
    cast.sql(f"CREATE ROLE {quoted} LOGIN; GRANT ALL ON doc, doc_id_seq TO {quoted}")
    try:
        db = cast.regions().lax(user=odd)
        assert rows(db.execute_sql("INSERT INTO doc DEFAULT VALUES RETURNING tenant, by")) == [(odd, odd)]
        db.close()
    finally:
        cast.sql(f"DROP OWNED BY {quoted}; DROP ROLE {quoted}")
