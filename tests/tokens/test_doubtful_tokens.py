"""A token that is not valid, or cannot be compared with what is here, has a defined effect."""

from __future__ import annotations

import pytest

import fly_orm
from fly_orm import InvalidToken, NotPrimary, Route, resume, session, token
from fly_orm.deadline import Deadline, now
from fly_orm.lsn import LSN
from fly_orm.position import Position
from fly_orm.protocol.encoding import encode
from fly_orm.protocol.secret import Secrets
from fly_orm.sessions.context import current
from fly_orm.tokens.signing import sign
from tests.support.two_regions import SECRETS
from tests.tokens.items import insert, made, names

pytestmark = pytest.mark.usefixtures("configured")


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
            (lambda told: sign(b"\x93\xc1", SECRETS), "malformed"),
            (lambda told: sign(encode([{"shop": Position(LSN(-1))}]), SECRETS), "malformed"),
            (lambda told: sign(encode([{"shop": "soon"}]), SECRETS), "malformed"),
            (lambda told: sign(b"\x90", Secrets("the-secret-of-somebody-else")), "forged"),
        ],
    )
    def test_is_refused_and_leaves_the_session_as_it_was(self, told, lax, change, reason):
        with session():
            with pytest.raises(InvalidToken) as caught:
                resume(change(told))
            assert caught.value.reason == reason
            assert not current().pins
            assert token(reads=False) == ""

    def test_because_it_is_too_old_is_refused_as_well(self, told, monkeypatch):
        resume(told, max_age=0.9)
        monkeypatch.setattr("itsdangerous.TimestampSigner.get_timestamp", lambda self: 2**33)
        resume(told, max_age=None)
        with pytest.raises(InvalidToken, match="more than the limit of 86400 s") as caught:
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
            resume(made(table.name, Position(LSN(2**50), 1234, 1)))
            started = now()
            assert names(patient) == []
            assert fly_orm.why().route is Route.PRIMARY
            assert now() - started < 20
            table.cluster.wait_for_replica()
            assert names(patient) == []
            assert fly_orm.why().route is Route.LOCAL

    def test_as_its_timeline_is_newer_than_the_primary_is_not_served_there(self, table, patient, here):
        with session():
            resume(made(table.name, Position(LSN(8192), here, 2)))
            for _ in range(3):
                with pytest.raises(NotPrimary, match=r"on timeline 1.*timeline 2"):
                    names(patient)

    def test_as_it_is_of_a_database_that_is_not_here_is_passed_on(self, table, patient, here):
        with session():
            resume(made("elsewhere", Position(LSN(2**50), here, 1)))
            assert names(patient) == []
            assert fly_orm.why().route is Route.LOCAL
            passed = token(reads=False)
        with session():
            resume(passed)
            assert current().watermarks.known("elsewhere") == Position(LSN(2**50), here, 1)

    def test_is_no_reason_to_wait_beyond_the_limit(self, table, lax, here):
        with session():
            resume(made(table.name, Position(LSN(2**50), here, 1)))
            limit = Deadline.after(5)
            assert names(lax) == []
            assert not limit.expired
            assert fly_orm.why().route is Route.PRIMARY
