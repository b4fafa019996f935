"""A pooled connection to the primary has the settings of its caller, and forgets them."""

from __future__ import annotations

import os
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from fly_orm.deadline import Deadline
from fly_orm.errors import NotPrimary
from fly_orm.postgres import primary_connection
from fly_orm.postgres.primary_pool import PrimaryPool
from fly_orm.postgres.profile import Profile
from fly_orm.postgres.recovery import is_replica
from fly_orm.postgres.starting import Start
from tests.support.waiting import until

PROFILE = Profile("UTF8", ())


SOON = Deadline.after(None)


class TestAPooledConnection:
    def test_has_the_callers_settings_and_forgets_everything_else(self, pool):
        settings = Profile("LATIN1", (b"SET TimeZone TO 'Asia/Tokyo'", b"SET search_path TO pg_catalog"))
        first = pool.acquire(settings, SOON)
        with first.raw.cursor() as cursor:
            cursor.execute("CREATE TEMP TABLE secret (i int)")
            cursor.execute("SELECT set_config('app.tenant', 'one', false), pg_advisory_lock(1)")
        pool.release(first)
        again = pool.acquire(settings, SOON)
        while again is not first:  # it is cleaned in the background
            pool.release(again)
            again = pool.acquire(settings, SOON)
        with again.raw.cursor() as cursor:
            cursor.execute(
                "SELECT current_setting('TimeZone'), current_setting('client_encoding'), "
                "coalesce(current_setting('app.tenant', true), ''), to_regclass('secret') IS NULL, "
                "(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid())"
            )
            assert cursor.fetchone() == ("Asia/Tokyo", "LATIN1", "", True, 0)
        pool.release(again)

    def test_ends_soon_if_this_machine_is_lost(self, pool):
        names = "'tcp_keepalives_idle', 'tcp_keepalives_interval', 'tcp_keepalives_count', 'tcp_user_timeout'"
        sources = f"SELECT DISTINCT source FROM pg_settings WHERE name IN ({names})"
        for _ in range(2):  # the second time, it has been cleaned
            connection = pool.acquire(PROFILE, SOON)
            with connection.raw.cursor() as cursor:
                cursor.execute(sources)
                assert cursor.fetchall() == [("session",)]
            connection.clean()
            pool.release(connection)

    def test_takes_over_the_settings_of_another_caller(self, pool):
        for zone in ("Asia/Tokyo", "UTC", "America/New_York"):
            connection = pool.acquire(Profile("UTF8", (f"SET TimeZone TO '{zone}'".encode(),)), SOON)
            with connection.raw.cursor() as cursor:
                cursor.execute("SHOW TimeZone")
                assert cursor.fetchone() == (zone,)
            pool.release(connection)

    def test_leaves_it_to_those_that_follow_to_find_out_whether_its_commit_was_sent(self, pool):
        """But somebody looks for it, although they may take long."""
        first, second = pool.acquire(PROFILE, SOON), pool.acquire(PROFILE, SOON)
        assert pool.is_shared
        state = first.clean_at_once(is_followed=pool.is_shared)
        position = first.wal.commit_position(state=state)
        assert len(state.split()) == 3
        assert first.wal.to_send in (position.lsn, None)  # None before PostgreSQL 16
        pool.release(first)
        until(lambda: pool._unsent.lsn is None, "nobody has looked")
        until(lambda: not pool.is_shared)  # the one that has looked gives its connection back
        pool.release(second)

    @pytest.mark.parametrize("value", ["on", "off"])
    def test_says_whether_its_commits_were_asynchronous_although_it_is_clean_again(self, pool, value):
        connection = pool.acquire(PROFILE, SOON)
        with connection.raw.cursor() as cursor:
            cursor.execute(f"SET synchronous_commit TO {value}; SET search_path TO pg_temp, pg_catalog")
            _, _, asynchronous, *_ = connection.clean_at_once().split()
            assert asynchronous == ("t" if value == "off" else "f")
            cursor.execute("SELECT current_setting('synchronous_commit'), current_setting('search_path')")
            assert cursor.fetchone() == ("on", '"$user", public')
        assert connection.is_clean
        pool.release(connection)

    def test_has_its_client_encoding_again_when_it_was_cleaned_at_once(self, pool):
        connection = pool.acquire(PROFILE, SOON)
        with connection.cursor() as cursor:
            cursor.execute("SET client_encoding TO LATIN1")
            assert connection.clean_at_once()
            cursor.execute("SELECT current_setting('client_encoding'), 'ü'")
            assert cursor.fetchone() == (b"UTF8", "ü".encode())
        pool.release(connection)

    def test_that_cannot_be_cleaned_at_once_is_cleaned_in_the_background(self, pool):
        profile = Profile("UTF8", ("SET application_name TO 'ü'".encode(),))
        connection = pool.acquire(profile, SOON)
        with connection.cursor() as cursor:
            cursor.execute("SET client_encoding TO LATIN1; SET lock_timeout TO 9")
        assert connection.clean_at_once() is None
        pool.release(connection)
        again = pool.acquire(profile, SOON)
        while again is not connection:
            pool.release(again)
            again = pool.acquire(profile, SOON)
        with again.cursor() as cursor:
            cursor.execute("SELECT current_setting('client_encoding'), current_setting('lock_timeout')")
            assert cursor.fetchone() == (b"UTF8", b"0")
        pool.release(again)

    def test_that_was_lost_while_idle_is_replaced(self, cluster, pool):
        connection = pool.acquire(PROFILE, SOON)
        pid = connection.raw.get_backend_pid()
        pool.release(connection)
        cluster.primary.query(f"SELECT pg_terminate_backend({pid}, 10000)")
        with pool.acquire(PROFILE, SOON).cursor() as cursor:
            cursor.execute("SELECT 1")

    def test_that_is_old_is_replaced(self, pool, monkeypatch):
        assert self.lend(pool) is self.lend(pool)
        monkeypatch.setattr(primary_connection, "MAX_AGE", 0.0)
        assert self.lend(pool) is not self.lend(pool)

    def test_is_replaced_if_alter_database_has_changed_what_a_session_begins_with(self, cluster, database, pool):
        first, *starts = self.lend(pool), Start("postgres", {}), Start("postgres", {"lock_timeout": "7s"})
        cluster.primary.query(f"ALTER DATABASE {database} SET lock_timeout TO '7s'")
        assert self.lend(pool, starts[0]) is first  # its caller has the same start
        second = self.lend(pool, starts[1])
        assert second is not first
        assert self.lend(pool, starts[0]) is second  # whose caller has an older one

    def test_that_has_had_a_setting_which_a_caller_lacks_is_replaced_before_others_are_served(self, pool):
        first, other = (pool.acquire(PROFILE, SOON, made=["app.tenant"]) for _ in range(2))
        first.made.add("app.tenant")
        served, threads = [], []
        for name, made in (("without", []), ("with", ["app.tenant"])):

            def serve(name=name, made=made):
                connection = pool.acquire(PROFILE, SOON, made=made)
                served.append(name)
                pool.release(connection)

            threads.append(threading.Thread(target=serve))
            threads[-1].start()
            until(lambda: len(pool._pool._waiting) == len(threads))
        pool.release(first)
        for thread in threads:
            thread.join()
        assert served == ["without", "with"]
        pool.release(other)

    def lend(self, pool, start=None):
        """The connection that a caller gets, once it is clean."""
        connection = pool.acquire(Profile("UTF8", (), start), SOON)
        pool.release(connection)
        until(lambda: pool._pool.idle)
        return connection

    def test_can_be_opened_in_a_process_with_many_open_files(self, pool):
        with ExitStack() as files:
            try:
                for _ in range(1100):  # select() takes no more than 1024
                    files.enter_context(Path(os.devnull).open())
            except OSError:
                pytest.skip("this process may not open that many")
            pool.release(pool.acquire(PROFILE, SOON))
            assert pool.acquire(PROFILE, SOON).raw.fileno() > 1024

    def test_to_a_replica_is_refused(self, cluster, database):
        pool = PrimaryPool(database, lambda: cluster.replica.connect(database), max_size=1)
        with pytest.raises(NotPrimary, match="is a replica"):
            pool.check()
        pool.close()

    def test_says_whether_its_server_is_a_replica(self, cluster):
        with cluster.replica.connect() as replica, cluster.primary.connect() as primary:
            assert is_replica(replica)
            assert not is_replica(primary)
