"""The files of a certificate, when they cannot be used at first, or can be used by others."""

from __future__ import annotations

import logging
import os
import resource

import pytest

from fly_orm.protocol import tls as tls_module
from tests.support.certificates import Certificates, Installed


def test_a_file_that_could_not_be_used_is_loaded_once_it_can(tmp_path, caplog):
    """As if it could not be read, until somebody has changed its mode: its content and its times stay the same."""
    one, used = Certificates(tmp_path / "1"), Installed(tmp_path / "used")
    used.install(one, one)
    tls, key = used.tls(), used.folder / "node.key"
    times, content = key.stat(), key.read_bytes()
    for written, logged in [(b"x" * len(content), "those from before stay in use"), (content, "loaded the changed")]:
        caplog.set_level(logging.INFO, "fly_orm")
        key.write_bytes(written)
        os.utime(key, ns=(times.st_atime_ns, times.st_mtime_ns))
        tls._current()
        assert logged in caplog.text


def test_changed_files_are_tried_again_after_a_while(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(tls_module, "RETRY_INTERVAL", 0.0)
    caplog.set_level(logging.INFO, "fly_orm")
    one, used = Certificates(tmp_path / "1"), Installed(tmp_path / "used")
    used.install(one, one)
    tls = used.tls()
    used.install(one, one)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        for _ in range(3):
            tls._current()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert caplog.text.count("those from before stay in use") == 1, "it is logged once"
    tls._current()
    assert "loaded the changed certificates" in caplog.text


@pytest.mark.parametrize(("mode", "warnings"), [(0o600, 0), (0o640, 0), (0o644, 1)])
def test_a_key_that_everybody_can_read_is_warned_of(tmp_path, caplog, mode, warnings):
    made = Certificates(tmp_path / "made")
    (made.folder / "node.key").chmod(mode)
    made.tls()
    made.tls()
    assert caplog.text.count("can be read by every user of this machine") == warnings
