"""What becomes of the tests where there is no NATS server."""

import pytest

from tests.support.nats_server import executable


@pytest.fixture
def nothing_installed(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)


def test_tests_are_skipped_where_there_is_no_server(monkeypatch, nothing_installed):
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no nats-server on the PATH"):
        executable()


def test_tests_fail_in_ci_where_there_is_no_server(monkeypatch, nothing_installed):
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no nats-server on the PATH"):
        executable()
