"""Certificates are to be renewed some time before they expire, and somebody says so."""

from __future__ import annotations

import logging
from datetime import timezone

import pytest
from cryptography import x509

import fly_orm
from fly_orm.deadline import wall_clock
from fly_orm.findings.finding import Level
from fly_orm.findings.settings import tls_findings
from fly_orm.protocol import tls as tls_module
from fly_orm.protocol.expiry import DAY, authority_validity, chain_validity
from fly_orm.settings import Settings
from tests.support.certificates import Certificates
from tests.support.two_regions import settings
from tests.support.waiting import until


@pytest.fixture
def certificates(tmp_path):
    return Certificates(tmp_path / "certificates")


def dates(path):
    """What the library says that has made the certificate."""
    made = x509.load_pem_x509_certificate(path.read_bytes())
    if hasattr(made, "not_valid_after_utc"):
        return made.not_valid_before_utc.timestamp(), made.not_valid_after_utc.timestamp()
    return tuple(at.replace(tzinfo=timezone.utc).timestamp() for at in (made.not_valid_before, made.not_valid_after))


@pytest.mark.parametrize("days", [-3, 1, 90, 365 * 40], ids=["expired", "a day", "90 days", "with four digits"])
def test_the_dates_are_those_of_the_certificate(certificates, days):
    certificates.issue("one", days=days)
    found = chain_validity(str(certificates.folder / "one.pem"))
    assert (found.begins, found.ends) == dates(certificates.folder / "one.pem")


def test_the_first_of_a_chain_and_the_last_of_the_authorities_counts(certificates, tmp_path):
    for name, days in (("short", 1), ("long", 90)):
        certificates.issue(name, days=days)
    both = tmp_path / "both.pem"
    both.write_bytes(b"".join((certificates.folder / f"{name}.pem").read_bytes() for name in ("long", "short")))
    short, long = (dates(certificates.folder / f"{name}.pem")[1] for name in ("short", "long"))
    assert (chain_validity(str(both)).ends, authority_validity(str(both)).ends) == (short, long)


@pytest.mark.parametrize(
    "content", ["", "no certificate", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----"]
)
def test_a_file_without_a_whole_certificate_has_no_dates(tmp_path, content):
    (tmp_path / "x.pem").write_text(content)
    assert chain_validity(str(tmp_path / "x.pem")) is None
    assert chain_validity(str(tmp_path / "missing.pem")) is None


@pytest.mark.parametrize(
    ("left", "level", "told"),
    [
        (31, Level.OK, ""),
        (29, Level.WARNING, "node.pem' (FLY_ORM_TLS_CERT) expires at"),
        (-1, Level.ERROR, "node.pem' (FLY_ORM_TLS_CERT) has expired at"),
    ],
)
def test_it_is_a_finding_30_days_before(certificates, monkeypatch, left, level, told):
    certificates.issue("node", days=90)
    monkeypatch.setattr(tls_module, "wall_clock", lambda: wall_clock() + (90 - left) * DAY)
    [_encrypted, *found] = tls_findings(Settings(**certificates.settings()))
    assert max((each.level for each in found), default=Level.OK) is level
    assert told in " ".join(map(str, found))
    assert not found or "fly-orm certificates" in found[0].advice


def test_one_that_is_valid_for_a_day_is_to_be_renewed_in_its_last_third(certificates, monkeypatch):
    assert certificates.tls().to_renew() == []
    monkeypatch.setattr(tls_module, "wall_clock", lambda: wall_clock() + 0.7 * DAY)
    assert len(certificates.tls().to_renew()) == 1


@pytest.fixture
def told(caplog):
    """How many records of a level are about a certificate."""

    def told(level):
        about = [each for each in caplog.records if "the certificate in" in each.getMessage()]
        return sum(each.levelno == level for each in about)

    return told


@pytest.mark.parametrize(("days", "level"), [(40, logging.WARNING), (-1, logging.ERROR)])
def test_a_node_and_an_application_say_so_when_they_start(regions, certificates, monkeypatch, told, days, level):
    certificates.issue("node", days=days)
    monkeypatch.setattr(tls_module, "wall_clock", lambda: wall_clock() + 30 * DAY * (days > 0))
    given = certificates.settings()
    with fly_orm.serve(regions.syd(), listen="127.0.0.1:0", settings=settings("syd", **given)):
        until(lambda: told(level) == 1)
    application = regions.on(regions.cluster.replica, options={"settings": settings("lax", "a:1", **given)})
    application.connect()
    assert told(level) == 2


def test_a_process_that_runs_on_says_so_once_a_day(certificates, monkeypatch, told):
    certificates.issue("node", days=0.01)
    tls, other = certificates.tls(), certificates.tls()
    for seconds, warnings in [(0, 0), (DAY + 1, 1), (DAY + 2, 1), (2 * DAY + 2, 2)]:
        monkeypatch.setattr(tls_module, "now", lambda seconds=seconds: monotonic() + seconds)
        monkeypatch.setattr(tls_module, "wall_clock", lambda seconds=seconds: wall_clock() + seconds)
        for each in (tls, other):
            each._current()
        assert told(logging.WARNING) + told(logging.ERROR) == warnings


monotonic = tls_module.now
