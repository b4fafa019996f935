"""Statements about the session and the server: settings, notifications, other backends."""

from __future__ import annotations

from fly_orm.classify import Kind
from fly_orm.classify.session_change import NOTHING, STICKS, changes_settings
from tests.classify.table.row import ACCEPTED, OTHER_MEANING, other

MODES = "default_transaction_isolation,default_transaction_read_only,default_transaction_deferrable"
PATH = changes_settings(["search_path"])
SETTINGS = [
    other(Kind.SET, "SET timezone = 'UTC'", OTHER_MEANING, name="timezone", primary_only=False, resets_all=False),
    other(Kind.SET, "SET SESSION Search_Path TO a, b", name="search_path", primary_only=False),
    other(Kind.SET, "SET app.tenant = %s", name="app.tenant", asynchronous=False),
    other(Kind.SET, 'SET "Work_Mem" TO DEFAULT', OTHER_MEANING, name="work_mem"),
    other(Kind.SET, "SET synchronous_commit = off", OTHER_MEANING, name="synchronous_commit", asynchronous=True),
    other(Kind.SET, "SET TIME ZONE 'UTC'", OTHER_MEANING, name="timezone"),
    other(Kind.SET, "SET NAMES 'UTF8'", OTHER_MEANING, name="client_encoding"),
    other(Kind.SET, "SET SCHEMA 'public'", OTHER_MEANING, name="search_path"),
    other(Kind.SET, "SET search_path TO public, pg_temp", name="search_path", leaves_state=False),
    other(Kind.WRITE, 'SET search_path TO "pg_temp", public', OTHER_MEANING, leaves_state=True, changes=PATH),
    other(Kind.WRITE, "SET SCHEMA 'pg_temp'", OTHER_MEANING, leaves_state=True, changes=PATH),
    other(Kind.WRITE, "SET LOCAL search_path = 'pg_temp'", OTHER_MEANING, leaves_state=True, changes=NOTHING),
    other(Kind.WRITE, "SELECT set_config('search_path', 'pg_temp, a', false)", leaves_state=True, changes=PATH),
    other(Kind.SET, "SELECT set_config('search_path', 'a, pg_temp', false)", name="search_path", leaves_state=False),
    other(Kind.WRITE, "SET SEED TO 0.5", OTHER_MEANING, leaves_state=True),
    other(Kind.WRITE, "SELECT set_config('seed', '0.5', false)", OTHER_MEANING, leaves_state=True),
    other(Kind.WRITE, "SELECT setseed(0.5)", OTHER_MEANING, leaves_state=True),
    other(Kind.SET, "SET XML OPTION CONTENT", OTHER_MEANING, name="xmloption"),
    other(Kind.SET, "SET ROLE none", OTHER_MEANING, name="role"),
    other(Kind.SET, "SET SESSION AUTHORIZATION DEFAULT", OTHER_MEANING, name="session_authorization"),
    other(Kind.SET, "SET SESSION SESSION AUTHORIZATION DEFAULT", OTHER_MEANING, name="session_authorization"),
    other(Kind.SET, "SET default_transaction_isolation = 'serializable'", primary_only=True),
    other(Kind.SET, "SET default_transaction_isolation TO serializable", primary_only=True),
    other(Kind.SET, "SET default_transaction_isolation = %s", primary_only=True),
    other(Kind.SET, "SET default_transaction_isolation = 'Repeatable Read'", primary_only=False),
    other(Kind.SET, "SET transaction_isolation = 'serializable'", "0A000", primary_only=True),
    other(Kind.SET, "SET transaction_read_only = off", "0A000", primary_only=True),
    other(Kind.SET, "SET default_transaction_read_only = 'off'", primary_only=True),
    other(Kind.SET, "SET default_transaction_read_only = on", primary_only=False),
    other(Kind.SET, "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE", primary_only=True),
    other(Kind.SET, "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE", primary_only=True),
    other(Kind.SET, "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", primary_only=False, name=MODES),
    other(Kind.WRITE, "SET", "42601", leaves_state=True, asynchronous=True),
    # Before a dot, a keyword is the first part of a name.
    other(Kind.SET, "SET Role . x = 1", OTHER_MEANING, name="role.x"),
    other(Kind.SET, "SET SESSION seed.x = 1", OTHER_MEANING, name="seed.x"),
    other(Kind.SET, "SET session.x = 1", OTHER_MEANING, name="session.x", primary_only=False),
    other(Kind.SET, "SET local.x = 1", OTHER_MEANING, name="local.x", primary_only=False),
    other(Kind.SET, "SET transaction.x = 1", OTHER_MEANING, name="transaction.x", primary_only=False),
    other(Kind.SET, "SET constraints.x = 1", OTHER_MEANING, name="constraints.x"),
    other(Kind.SET, "RESET schema.x", OTHER_MEANING, name="schema.x"),
    other(Kind.SET, "RESET ALL", OTHER_MEANING, name=None, resets_all=True, discards_all=False, asynchronous=True),
    other(Kind.SET, "RESET search_path", OTHER_MEANING, name="search_path", resets_all=False, primary_only=False),
    other(Kind.SET, "RESET TIME ZONE", OTHER_MEANING, name="timezone"),
    other(Kind.SET, "RESET SESSION AUTHORIZATION", OTHER_MEANING, name="session_authorization", resets_all=False),
    other(Kind.SET, "RESET default_transaction_isolation", OTHER_MEANING, primary_only=True),
    other(Kind.SET, "DISCARD ALL", OTHER_MEANING, name=None, resets_all=True, discards_all=True),
    other(Kind.SET, "DISCARD PLANS", OTHER_MEANING, name=None, resets_all=False, discards_all=False),
    other(Kind.SET, "DISCARD TEMP", OTHER_MEANING, name=None, resets_all=False),
    other(Kind.SET, "SELECT set_config('App.Tenant', 'x', false)", OTHER_MEANING, name="app.tenant"),
    other(Kind.SET, "SELECT pg_catalog.set_config('app.tenant', %s, %s)", name="app.tenant", primary_only=False),
    other(Kind.SET, "SELECT set_config(%s, %s, false)", name=None, primary_only=False, asynchronous=True),
    other(Kind.SET, "SELECT set_config('a.' || current_user, 'c', false)", name=None, changes=STICKS),
    other(Kind.SET, "SELECT set_config('a.' || 'b', 'c', 1 = 1)", OTHER_MEANING, name="a.b"),
    other(Kind.SET, "SELECT set_config('a.b'::text, 'c', false)", OTHER_MEANING, name="a.b", changes=NOTHING),
    other(
        Kind.SET, "SELECT set_config('a.b', 'c', false), set_config('a.d', 'e', true)", OTHER_MEANING, name="a.b,a.d"
    ),
    other(Kind.SET, "SELECT set_config('a.b', 'c', false), set_config(%s, 'e', false)", name=None),
    other(Kind.SET, "SELECT set_config('default_transaction_isolation', 'serializable', false)", primary_only=True),
    other(Kind.SET_LOCAL, "SELECT set_config('a.b', coalesce('c', 'd'), true)", OTHER_MEANING, name="a.b"),
    other(Kind.SET_LOCAL, "SET LOCAL timezone = 'UTC'", OTHER_MEANING, name="timezone", asynchronous=False),
    other(Kind.SET_LOCAL, "SET LOCAL Synchronous_Commit TO off", OTHER_MEANING, asynchronous=True),
    other(Kind.SET_LOCAL, "SELECT set_config('synchronous_commit', 'off', true)", OTHER_MEANING, asynchronous=True),
    other(Kind.SET_LOCAL, "SET LOCAL ROLE none", OTHER_MEANING, name="role"),
    other(Kind.SET_LOCAL, "SET LOCAL role.x = 1", OTHER_MEANING, name="role.x"),
    other(Kind.SET_LOCAL, "SET LOCAL local.x = 1", OTHER_MEANING, name="local.x"),
    other(Kind.SET_LOCAL, "SET LOCAL transaction.x = 1", OTHER_MEANING, name="transaction.x", primary_only=False),
    other(Kind.SET_LOCAL, "SET TRANSACTION READ ONLY", OTHER_MEANING, primary_only=False),
    other(Kind.SET_LOCAL, "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", "0A000", primary_only=True),
    other(Kind.SET_LOCAL, "SET LOCAL TRANSACTION READ WRITE", "0A000", primary_only=True),
    other(Kind.SET_LOCAL, "SET CONSTRAINTS ALL DEFERRED", OTHER_MEANING),
]

REST = [
    other(Kind.LISTEN, "LISTEN c", "25006"),
    other(Kind.LISTEN, 'SELECT 1; LISTEN "c"', "25006"),
    other(Kind.UNLISTEN, "UNLISTEN *", ACCEPTED),
    other(Kind.SERVER, "SELECT pg_terminate_backend(0)", ACCEPTED),
    other(Kind.SERVER, "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE false", ACCEPTED),
    other(Kind.SERVER, "SELECT pg_log_backend_memory_contexts(0)", ACCEPTED),
    other(Kind.SERVER, "SELECT 1; SELECT pg_terminate_backend(0)", ACCEPTED),
]
