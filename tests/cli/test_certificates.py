"""``fly-orm certificates`` makes and renews what nodes and clients need for TLS."""

from __future__ import annotations

import stat
import sys

import pytest
from cryptography import x509

from fly_orm.cli import main


def issue(folder, *arguments):
    return main(["certificates", "--folder", str(folder), *arguments])


def test_it_makes_an_authority_and_certificates_and_says_how_to_use_them(tmp_path, capsys):
    folder = tmp_path / "made" / "here"
    assert issue(folder, "syd", "lax") == 0
    assert {path.name for path in folder.iterdir()} == {"ca.pem", "ca.key", "syd.pem", "syd.key", "lax.pem", "lax.key"}
    assert {path.name for path in folder.iterdir() if stat.S_IMODE(path.stat().st_mode) == 0o600} == {
        "ca.key",
        "syd.key",
        "lax.key",
    }
    out = capsys.readouterr().out
    assert f"FLY_ORM_TLS_CERT={folder}/lax.pem FLY_ORM_TLS_KEY={folder}/lax.key FLY_ORM_TLS_CA={folder}/ca.pem" in out
    assert "ca.key off the nodes" in out


def test_called_again_it_renews_a_certificate_of_the_same_authority(tmp_path):
    issue(tmp_path, "syd", "--days", "1")
    before, authority = loaded(tmp_path / "syd.pem"), (tmp_path / "ca.pem").read_bytes()
    issue(tmp_path, "syd", "--days", "30")
    after = loaded(tmp_path / "syd.pem")
    assert after.serial_number != before.serial_number
    assert 29 <= (after.not_valid_after_utc - before.not_valid_after_utc).total_seconds() / 86400 <= 30
    assert (tmp_path / "ca.pem").read_bytes() == authority
    after.verify_directly_issued_by(loaded(tmp_path / "ca.pem"))


def loaded(path):
    return x509.load_pem_x509_certificate(path.read_bytes())


@pytest.mark.parametrize(
    "arguments", [["ca"], ["../syd"], [".syd"], ["x" * 64], ["syd", "--days", "0"], ["syd", "--days", "3651"], []]
)
def test_wrong_arguments_are_refused(arguments, tmp_path, capsys):
    with pytest.raises(SystemExit):
        issue(tmp_path, *arguments)
    assert "usage: fly-orm certificates" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_authority_that_is_not_complete_is_not_replaced(tmp_path, capsys):
    issue(tmp_path, "syd")
    (tmp_path / "ca.key").unlink()
    assert issue(tmp_path, "lax") == 2
    assert "ca.key is missing" in capsys.readouterr().err
    issue(tmp_path / "other", "syd")
    (tmp_path / "other" / "ca.key").rename(tmp_path / "ca.key")
    assert issue(tmp_path, "lax") == 2
    assert "the key is another one's" in capsys.readouterr().err


def test_a_folder_that_cannot_be_used_is_an_error(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert issue(tmp_path / "file" / "folder", "syd") == 2
    assert "cannot use the folder" in capsys.readouterr().err


def test_it_says_which_extra_it_needs(tmp_path, monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, "fly_orm.cli.issuing", raising=False)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    assert issue(tmp_path, "syd") == 2
    assert "pip install 'cryptography>=" in capsys.readouterr().err
