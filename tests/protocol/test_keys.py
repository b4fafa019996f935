"""Keys are made from a secret once, and from each other never."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from secrets import token_urlsafe

import pytest

from fly_orm.checking.nodes import ask_nodes
from fly_orm.deadline import Deadline
from fly_orm.protocol import keys
from fly_orm.protocol.keys import hkdf, keys_of
from fly_orm.protocol.secret import Secret, Secrets
from fly_orm.testing.contract.tools import in_child
from tests.support import two_regions
from tests.support.nodes import environment_in
from tests.support.two_regions import AMPLE, SECRET

#: RFC 5869, appendix A: the input, salt, info and output of its tests with SHA-256.
VECTORS = [
    (
        "0b" * 22,
        "000102030405060708090a0b0c",
        "f0f1f2f3f4f5f6f7f8f9",
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
    ),
    (
        bytes(range(0x50)).hex(),
        bytes(range(0x60, 0xB0)).hex(),
        bytes(range(0xB0, 0x100)).hex(),
        "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09"
        "da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87",
    ),
    (
        "0b" * 22,
        "",
        "",
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
    ),
]


@pytest.mark.parametrize(("key", "salt", "info", "output"), VECTORS)
def test_hkdf_is_that_of_the_rfc(key, salt, info, output):
    made = hkdf(bytes.fromhex(key), bytes.fromhex(info), salt=bytes.fromhex(salt), size=len(output) // 2)
    assert made.hex() == output


def test_each_secret_and_each_purpose_has_a_key_of_its_own():
    one, two = keys_of(Secrets("0123456789abcdef fedcba9876543210"))
    assert len({one.channel, one.token, two.channel, two.token}) == 4
    assert keys_of(Secrets("fedcba9876543210")) == (two,)


def test_many_threads_that_need_the_keys_of_a_secret_stretch_it_once(monkeypatch):
    stretched, waiting, others_wait = [], threading.Barrier(8), threading.Event()

    def stretch(secret):
        stretched.append(secret)
        others_wait.wait(0.2)  # never set: gives the others the time to begin as well
        return b"x" * 32

    def ask():
        waiting.wait()
        keys_of(Secrets("a-secret-of-this-test-alone"))

    monkeypatch.setattr(keys, "_stretch", stretch)
    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stretched == [Secret("a-secret-of-this-test-alone")]


class TestKeysThatTakeLongerThanConnectingMay:
    """A process that gets little CPU time reaches a node that is there, although its keys took longer than that."""

    #: Seconds that connecting may take, and a busy machine needs at most.
    CONNECT_TIMEOUT = 4.0

    @pytest.fixture
    def settings(self, regions, monkeypatch):
        """Those of a process in lax with a secret that it has not stretched yet."""
        derive = keys._derive

        def derive_slowly(secret):
            time.sleep(self.CONNECT_TIMEOUT + 0.1)
            return derive(secret)

        monkeypatch.setattr(keys, "_derive", derive_slowly)
        monkeypatch.setattr("fly_orm.forwarding.channels.CONNECT_TIMEOUT", self.CONNECT_TIMEOUT)
        return two_regions.settings("lax", regions.serving.address, secret=f"{SECRET} {token_urlsafe(32)}")

    def test_a_write_is_delivered(self, regions, settings):
        database = regions.lax(options={"settings": settings})
        database.execute_sql("CREATE TABLE item (name text)")
        assert regions.query("SELECT count(*) FROM item") == 0

    def test_a_check_reaches_the_node(self, regions, settings):
        (found,) = ask_nodes(settings.nodes["syd"], settings, Deadline.after(AMPLE))
        assert found.problem is None


def test_a_child_that_was_forked_while_a_secret_was_stretched_does_not_hang():
    with keys._cache._lock:
        in_child(lambda: keys_of(Secrets("another-secret-of-this-test")))


def test_importing_fly_orm_and_wrapping_a_database_stretch_nothing():
    code = (
        "import fly_orm, peewee; from fly_orm.protocol import keys\n"
        "fly_orm.wrap(peewee.PostgresqlDatabase('shop'))\n"
        "print(keys._cache._keys)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment_in("lax"), capture_output=True, text=True, check=True
    )
    assert run.stdout == "{}\n"
