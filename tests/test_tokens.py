"""What a session has seen travels in a token, and a token that is not valid has a defined effect."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from two_regions import SECRET, settings

import fly_orm
from fly_orm import ConfigurationError, InvalidToken, Route, Settings, messages, resume, session, token
from fly_orm.deadline import Deadline, now
from fly_orm.lsn import LSN
from fly_orm.position import UNKNOWN, Position
from fly_orm.primary import PrimaryConnection
from fly_orm.session import current
from fly_orm.signing import sign


@pytest.fixture(autouse=True)
def _configured():
    fly_orm.configure(settings("lax"))


@pytest.fixture
def table(regions):
    regions.query("CREATE TABLE item (id serial PRIMARY KEY, name text UNIQUE)")
    regions.cluster.wait_for_replica()
    return regions


@pytest.fixture
def lax(table):
    return table.lax(options={"replication_timeout": 0.2})


@pytest.fixture
def syd(table):
    return table.syd()


def insert(db, name):
    db.execute_sql("INSERT INTO item (name) VALUES (%s)", (name,))


def names(db):
    return [name for (name,) in db.execute_sql("SELECT name FROM item ORDER BY id").fetchall()]


def made(*entries):
    """A token that was never given."""
    return sign(messages.encode(entries), SECRET)


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
        quick = table.lax(options={"rpc_timeout": 0.5})
        with session():
            insert(quick, "a")
            table.wan.stall()
            with pytest.raises(fly_orm.OutcomeUnknown):
                insert(quick, "b")
            told = token(reads=False)
        with session():
            resume(told)
            with pytest.raises(fly_orm.FlyOrmError):
                names(quick)  # on the primary, which is out of reach
            current().unknown_until = 0
            assert names(quick) == ["a"]

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
            assert current().behind[table.name] == UNKNOWN

    def test_needs_a_secret(self, table, lax):
        fly_orm.configure(settings("lax", secret=""))
        insert(lax, "a")
        with pytest.raises(ConfigurationError, match="set FLY_ORM_SECRET"):
            token()

    def test_needs_the_extra_that_signs(self):
        code = (
            "import sys; sys.modules['itsdangerous'] = None\n"
            "from fly_orm.signing import sign\n"
            "try: sign(b'', 'a secret of enough characters')\n"
            "except ValueError as error: print(error)"
        )
        said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        assert "pip install 'fly-orm[tokens]'" in said


def _in_a_transaction(db, name):
    with db.atomic():
        insert(db, name)


def _by_a_function(db, name):
    db.execute_sql("SELECT put(%s)", (name,))


class TestATokenThatIsNotValid:
    @pytest.fixture
    def told(self, lax):
        with session():
            insert(lax, "a")
            return token()

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            (lambda told: "?" + told[1:], "forged"),
            (lambda told: told[:-9] + ("a" if told[-9] != "a" else "b") + told[-8:], "forged"),
            (lambda told: told.rpartition(".")[0], "forged"),
            (lambda told: "nonsense", "forged"),
            (lambda told: "é", "forged"),
            (lambda told: "\udcff", "forged"),
            (lambda told: "..", "forged"),
            (lambda told: told * 1000, "malformed"),
            (lambda told: sign(b"\x93\xc1", SECRET), "malformed"),
            (lambda told: sign(messages.encode([("shop", Position(LSN(-1)))]), SECRET), "malformed"),
            (lambda told: sign(messages.encode([("shop", "soon")]), SECRET), "malformed"),
            (lambda told: sign(b"\x90", "the secret of somebody else"), "forged"),
        ],
    )
    def test_is_refused_and_leaves_the_session_as_it_was(self, told, lax, change, reason):
        with session():
            with pytest.raises(InvalidToken) as caught:
                resume(change(told))
            assert caught.value.reason == reason
            assert current().behind == {}
            assert token(reads=False) == ""

    def test_because_it_is_too_old_is_refused_as_well(self, told, monkeypatch):
        resume(told, max_age=0.9)
        monkeypatch.setattr("itsdangerous.TimestampSigner.get_timestamp", lambda self: 2**33)
        resume(told, max_age=None)
        with pytest.raises(InvalidToken, match="86400 s is the limit") as caught:
            resume(told)
        assert caught.value.reason == "expired"

    def test_because_it_is_of_another_clock_is_valid(self, told, monkeypatch):
        """Which may be ahead of this one."""
        monkeypatch.setattr("itsdangerous.TimestampSigner.get_timestamp", lambda self: 1_000_000_000)
        resume(told)


class TestATokenThatDoesNotCompare:
    @pytest.fixture
    def patient(self, table):
        return table.lax(options={"replication_timeout": 30})

    @pytest.fixture
    def here(self, table):
        return int(table.query("SELECT system_identifier FROM pg_control_system()"))

    def test_as_it_is_of_another_system_costs_one_read_on_the_primary(self, table, patient):
        with session():
            resume(made((table.name, Position(LSN(2**50), 1234, 1))))
            started = now()
            assert names(patient) == []
            assert fly_orm.why().route is Route.PRIMARY
            assert now() - started < 5
            table.cluster.wait_for_replica()
            assert names(patient) == []
            assert fly_orm.why().route is Route.LOCAL

    def test_as_its_timeline_has_not_got_here_reads_from_the_primary(self, table, patient, here):
        with session():
            resume(made((table.name, Position(LSN(8192), here, 2))))
            for _ in range(3):
                assert names(patient) == []
                assert fly_orm.why().route is Route.PRIMARY

    def test_as_it_is_of_a_database_that_is_not_here_is_passed_on(self, table, patient, here):
        with session():
            resume(made(("elsewhere", Position(LSN(2**50), here, 1))))
            assert names(patient) == []
            assert fly_orm.why().route is Route.LOCAL
            passed = token(reads=False)
        with session():
            resume(passed)
            assert current().watermarks.known("elsewhere") == Position(LSN(2**50), here, 1)

    def test_is_no_reason_to_wait_beyond_the_limit(self, table, lax, here):
        with session():
            resume(made((table.name, Position(LSN(2**50), here, 1))))
            limit = Deadline.after(5)
            assert names(lax) == []
            assert not limit.expired
            assert fly_orm.why().route is Route.PRIMARY
