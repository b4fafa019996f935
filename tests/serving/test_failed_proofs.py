"""A node tells its operator of peers that hold another secret, and strangers cannot fill its log."""

import logging
from typing import Any

import pytest

import fly_orm
from fly_orm.forwarding.channels import CONNECT_TIMEOUT
from fly_orm.serving import failed_proofs
from fly_orm.serving.failed_proofs import FailedProofs
from tests.support.two_regions import OTHER_SECRET, TwoRegions

NO_PROOF = "does not hold the FLY_ORM_SECRET of this node"


def lines(caplog: Any, what: str) -> list[str]:
    return [record.getMessage() for record in caplog.records if what in record.getMessage()]


def test_both_ends_log_that_the_other_holds_another_secret_once(regions: TwoRegions, caplog: Any) -> None:
    caplog.set_level(logging.WARNING, "fly_orm")
    other = regions.lax(options={"settings": regions.lax_settings(secret=OTHER_SECRET)})
    for _ in range(3):
        with pytest.raises(fly_orm.AuthenticationFailed):
            other.execute_sql("CREATE TABLE t ()")
    assert regions.serving.failed_handshakes >= 3
    assert len(lines(caplog, NO_PROOF)) == 1
    assert len(lines(caplog, "could not be authenticated, and is tried last")) == 1
    assert not lines(caplog, "could not be reached")


def test_nothing_is_logged_of_one_with_the_same_secret(regions: TwoRegions, caplog: Any) -> None:
    db = regions.lax()
    db.execute_sql("CREATE TABLE t ()")
    db.close()
    db._fly_orm.close()
    regions.serving.close()
    assert not lines(caplog, NO_PROOF)


def test_an_address_is_logged_again_after_a_while_with_the_number_of_its_attempts(
    caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed, time = FailedProofs(), [0.0]
    monkeypatch.setattr(failed_proofs, "now", lambda: time[0])
    for at, peer in [
        (0, "[::1]:7"),
        (1, "[::1]:8"),
        (2, "[::2]:7"),
        (59, "[::1]:9"),
        (60, "[::1]:10"),
        (61, "[::2]:7"),
    ]:
        time[0] = float(at)
        failed.reactions(peer).wrong_secret()
    assert [line.split()[0] for line in lines(caplog, NO_PROOF)] == ["[::1]:7", "[::2]:7", "[::1]:10"]
    (line,) = lines(caplog, "more handshakes")
    assert line == "[::1] failed 2 more handshakes in the minute after the last warning about it"
    assert failed.total == 6


def test_a_peer_of_another_version_is_named_as_such(caplog: Any) -> None:
    failed = FailedProofs()
    failed.reactions("[::1]:7").wrong_version(1)
    assert len(lines(caplog, "[::1]:7 speaks version 1 of fly_orm's protocol")) == 1


def test_each_failure_of_an_address_is_answered_later_than_the_one_before() -> None:
    failed = FailedProofs()
    delays = [failed.reactions(f"[::1]:{port}").wrong_secret() for port in range(100)]
    assert delays[:6] == [0.05, 0.1, 0.2, 0.4, 0.8, 1.0]
    assert max(delays) == failed_proofs.LONGEST_DELAY < CONNECT_TIMEOUT
    assert failed.reactions("[::2]:7").wrong_secret() == 0.05


def test_strangers_with_many_addresses_do_not_fill_the_memory(caplog: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failed_proofs, "MAX_ADDRESSES", 2)
    failed = FailedProofs()
    for number in range(5):
        failed.reactions(f"[::{number}]:7").wrong_secret()
    assert len(lines(caplog, NO_PROOF)) == 2
