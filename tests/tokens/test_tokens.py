"""What a session has seen travels in a token."""

from __future__ import annotations

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from threading import Thread

import itsdangerous
import pytest
from peewee import PostgresqlDatabase

import fly_orm
from fly_orm import ConfigurationError, Route, Settings, resume, session, token
from fly_orm.deadline import Deadline
from fly_orm.lsn import LSN
from fly_orm.position import UNKNOWN, Position
from fly_orm.postgres.primary_connection import PrimaryConnection
from fly_orm.protocol.encoding import encode
from fly_orm.sessions import activity
from fly_orm.sessions.context import current
from fly_orm.testing.processes import children
from fly_orm.tokens.signing import sign
from tests.support.hurrying import hurried
from tests.support.processes import stopped
from tests.support.two_regions import SECRETS, close, named, settings
from tests.tokens.items import insert, made, names

pytestmark = pytest.mark.usefixtures("configured")


@contextmanager
def hanging(server):
    """A block in which none of a server's processes does anything."""
    with stopped(server.pid, *children(server.pid)):
        yield


class TestAToken:
    def test_lets_another_session_see_what_was_written_in_the_same_region(self, table, lax):
        with table.cluster.replay_paused():
            with session():
                insert(lax, "a")
                told = token()
            with session():
                assert names(lax) == []
            with session():
                resume(told)
                assert names(lax) == ["a"]
                assert fly_orm.why().route is Route.PRIMARY
        table.cluster.wait_for_replica()
        with session():
            resume(told)
            assert names(lax) == ["a"]
            assert fly_orm.why().route is Route.LOCAL

    @pytest.mark.parametrize("bounded", [True, False])
    @pytest.mark.parametrize("reads", [True, False])
    def test_lets_a_session_elsewhere_see_what_was_written_in_the_primary_region(self, table, syd, lax, bounded, reads):
        with table.cluster.replay_paused():
            if bounded:
                with session():
                    insert(syd, "a")
                    told = token(reads=reads)
            else:
                insert(syd, "a")
                told = token(reads=reads)
            with session():
                resume(told)
                assert names(lax) == ["a"]

    def test_covers_what_a_thread_has_written_while_another_one_has_read(self, table, syd, lax, monkeypatch):
        threads = []

        def write():
            with syd.connection_context():
                insert(syd, "a")

        class Meanwhile(frozenset):
            def __contains__(self, kind):
                if not threads:
                    threads.append(Thread(target=copy_context().run, args=(write,)))
                    threads[0].start()
                    threads[0].join()
                return super().__contains__(kind)

        monkeypatch.setattr(activity, "_WRITE_NOTHING", Meanwhile(activity._WRITE_NOTHING))
        with table.cluster.replay_paused():
            with session():
                assert names(syd) == ["a"]
                told = token(reads=False)
            with session():
                resume(told)
                assert names(lax) == ["a"]

    def test_covers_a_transaction_and_what_a_function_has_written(self, table, syd, lax):
        table.query("CREATE FUNCTION put(text) RETURNS void LANGUAGE sql AS 'INSERT INTO item (name) VALUES ($1)'")
        for number, write in enumerate((_in_a_transaction, _by_a_function)):
            with session():
                write(syd, str(number))
                told = token(reads=False)
            with table.cluster.replay_paused(), session():
                resume(told)
                assert names(lax)[-1] == str(number)

    def test_covers_what_did_not_wait_for_its_own_wal(self, table, syd, lax):
        with table.cluster.replay_paused():
            with session():
                syd.execute_sql("SET synchronous_commit = off")
                for number in range(50):
                    insert(syd, str(number))
                    told = token(reads=False)
            with session():
                resume(told)
                assert len(names(lax)) == 50
        syd.close()
        table.cluster.wait_for_replica()
        with session():
            resume(told)
            assert (len(names(lax)), fly_orm.why().route) == (50, Route.LOCAL)

    @pytest.mark.parametrize("where", ["syd", "lax"])
    def test_covers_what_was_read_unless_that_is_left_out(self, table, syd, lax, where):
        with session():
            assert names({"syd": syd, "lax": lax}[where]) == []
            assert token(reads=False) == ""
            assert token() != ""

    def test_asks_once_in_a_while_whether_what_was_read_may_write(self, syd, monkeypatch):
        asked = []
        answer = PrimaryConnection.reads_may_write
        monkeypatch.setattr(
            PrimaryConnection, "reads_may_write", lambda self, calls: asked.append(1) or answer(self, calls)
        )
        for _ in range(3):
            with session():
                names(syd)
                assert token(reads=False) == ""
        assert len(asked) == 1

    def test_covers_what_did_not_wait_since_an_earlier_session_said_so(self, table, syd, lax, cluster):
        cluster.primary.query("ALTER SYSTEM SET wal_writer_delay = '10s'")
        cluster.primary.query("SELECT pg_reload_conf()")
        try:
            syd.execute_sql("SET synchronous_commit = off")
            for name in "abc":
                with session():
                    insert(syd, name)
                    told = token(reads=False)
                with session():
                    resume(told)
                    assert names(lax)[-1] == name
        finally:
            cluster.primary.query("ALTER SYSTEM RESET wal_writer_delay")
            cluster.primary.query("SELECT pg_reload_conf()")

    def test_covers_what_a_cursor_wrote_that_is_older_than_the_session(self, table, syd, lax):
        cursor = syd.connection().cursor()
        with table.cluster.replay_paused():
            with session():
                cursor.execute("INSERT INTO item (name) VALUES ('a')")
                told = token(reads=False)
            with session():
                resume(told)
                assert names(lax) == ["a"]

    def test_of_a_session_covers_those_within_it(self, table, syd, lax):
        with table.cluster.replay_paused():
            with session():
                with session():
                    insert(syd, "a")
                with session():
                    insert(lax, "b")
                told = token(reads=False)
                assert names(lax) == []
            with session():
                resume(told)
                assert names(lax) == ["a", "b"]

    def test_is_for_databases_that_get_their_name_later_too(self, table, lax):
        with table.cluster.replay_paused():
            with session():
                insert(lax, "a")
                told = token()
            deferred = fly_orm.wrap(PostgresqlDatabase(None), settings=table.lax_settings(), replication_timeout=0.2)
            with session():
                resume(told)
                deferred.init(**named(table.cluster.replica, table.name))
                assert names(deferred) == ["a"]
            close(deferred)

    @pytest.mark.parametrize("where", ["in a transaction", "of a database that reads from the primary"])
    def test_is_not_waited_for_where_reads_run_on_the_primary_anyway(self, table, lax, where):
        patient = table.lax(options={"replication_timeout": 20, "reads": "replica" if where[3] == "a" else "primary"})
        with table.cluster.replay_paused():
            with session():
                insert(lax, "a")
                told = token()
            limit = Deadline.after(10)
            with session():
                resume(told)
                if where[3] == "a":
                    with patient.atomic():
                        patient.execute_sql("UPDATE item SET name = 'b'")
                        assert names(patient) == ["b"]
                        patient.rollback()
                else:
                    assert names(patient) == ["a"]
            assert not limit.expired

    def test_raises_nothing_where_a_late_replica_is_an_error(self, table, lax):
        strict = table.lax(options={"on_lag": "raise", "replication_timeout": 0.2})
        with table.cluster.replay_paused():
            with session():
                insert(lax, "a")
                told = token()
            with session():
                resume(told)
                assert names(strict) == ["a"]

    @pytest.mark.slow
    def test_of_a_replica_that_hangs_says_so_in_time(self, table, lax):
        with session():
            names(lax)
            token()
            with hanging(table.cluster.replica), ThreadPoolExecutor(8) as pool:
                limit = Deadline.after(15)
                told = list(pool.map(lambda context: context.run(token), [copy_context() for _ in range(8)]))
                lax._fly_orm.close()
                assert not limit.expired
        with session():
            resume(told[0])
            assert current().pins.get(table.name).position == UNKNOWN

    def test_needs_no_right_to_ask_for_the_system(self, table, caplog):
        table.query("CREATE ROLE poor LOGIN IN ROLE pg_read_all_data")
        table.query("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
        table.cluster.wait_for_replica()
        try:
            poor = table.lax(user="poor")
            with session():
                for _ in range(3):
                    assert names(poor) == []
                    told = token()
            with session():
                resume(told)
                assert names(poor) == []
                assert fly_orm.why().route is Route.LOCAL
            assert caplog.text.count("GRANT EXECUTE ON FUNCTION pg_control_system()") == 1
        finally:
            poor.close()
            table.query("DROP ROLE poor")

    def test_of_a_session_that_goes_on_from_another_covers_both(self, table, syd, lax):
        with session():
            insert(syd, "a")
            first = token()
        with session():
            resume(first)
            assert token(reads=False) != ""
            insert(lax, "b")
            second = token()
        with table.cluster.replay_paused(), session():
            resume(second)
            resume(first)  # says less, and does not count
            assert names(lax) == ["a", "b"]

    def test_is_short_and_safe_in_a_url(self, table, lax):
        with session():
            insert(lax, "a")
            assert re.fullmatch(r"[\w.-]{60,110}", token())

    def test_is_empty_and_needs_no_secret_where_nothing_is_routed(self, table):
        fly_orm.configure(Settings())
        alone = table.syd(options={"settings": Settings()})
        with session():
            insert(alone, "a")
            assert token() == ""
            resume("")

    def test_tells_of_an_outcome_that_is_unknown(self, table):
        db = table.lax()
        with session():
            insert(db, "a")
            table.wan.stall()
            with hurried(db, 0.5), pytest.raises(fly_orm.OutcomeUnknown):
                insert(db, "b")
            told = token(reads=False)
        with session():
            resume(told)
            with hurried(db, 0.5), pytest.raises(fly_orm.FlyOrmError):
                names(db)  # on the primary, which is out of reach
            current().watermarks.settle(table.name)
            assert names(db) == ["a"]

    def test_of_an_unknown_outcome_is_believed_for_half_a_minute_in_all(self, table, lax):
        doubtful = sign(encode([{}, {table.name: 20.0}]), SECRETS)
        with session():
            resume(doubtful)
            assert (names(lax), fly_orm.why().route) == ([], Route.PRIMARY)
        with session():
            resume(doubtful)
            ((_, left),) = current().watermarks.doubts().items()
            assert 8 < left <= 20
            again = token(reads=False)
        with session():
            resume(again)
            assert current().watermarks.doubts()[table.name] <= left

    def test_of_an_unknown_outcome_is_not_believed_when_it_is_old(self, table, lax, monkeypatch):
        doubtful = sign(encode([{}, {table.name: 20.0}]), SECRETS)
        later = itsdangerous.TimestampSigner.get_timestamp(None) + 60
        monkeypatch.setattr("itsdangerous.TimestampSigner.get_timestamp", lambda self: later)
        with session():
            resume(doubtful)
            assert (names(lax), fly_orm.why().route) == ([], Route.LOCAL)

    def test_that_is_older_does_not_end_the_doubt_of_another(self, table, lax):
        doubtful, older = sign(encode([{}, {table.name: 20.0}]), SECRETS), made(table.name, Position(LSN(8192)))
        for tokens in ((doubtful, older), (older, doubtful)):
            with session():
                for each in tokens:
                    resume(each)
                assert names(lax) == []
                assert fly_orm.why().route is Route.PRIMARY

    def test_of_a_server_that_cannot_be_asked_says_so(self, table, lax):
        with session():
            names(lax)
            table.cluster.replica.stop("immediate")
            try:
                told = token()
            finally:
                table.cluster.replica.start()
        with session():
            resume(told)
            assert current().pins.get(table.name).position == UNKNOWN

    def test_needs_a_secret(self, table, lax):
        fly_orm.configure(settings("lax", secret=""))
        insert(lax, "a")
        with pytest.raises(ConfigurationError, match="set FLY_ORM_SECRET"):
            token()

    def test_needs_the_extra_that_signs(self):
        code = (
            "import sys; sys.modules['itsdangerous'] = None\n"
            "from fly_orm.tokens.signing import sign\n"
            "from fly_orm.protocol.secret import Secrets\n"
            "try: sign(b'', Secrets('a-secret-of-enough-characters'))\n"
            "except ValueError as error: print(error)"
        )
        said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        assert "pip install 'itsdangerous>=" in said


def _in_a_transaction(db, name):
    with db.atomic():
        insert(db, name)


def _by_a_function(db, name):
    db.execute_sql("SELECT put(%s)", (name,))
