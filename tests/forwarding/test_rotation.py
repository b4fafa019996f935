"""Secrets and certificates are rotated in steps, while nodes and clients work, and no request or token fails."""

from __future__ import annotations

import threading
from itertools import pairwise

import pytest

import fly_orm
from fly_orm.errors import InvalidToken
from fly_orm.protocol.secret import Secrets
from fly_orm.tokens.signing import sign, unsign
from fly_orm.topology import Node
from tests.support.certificates import Certificates, Installed
from tests.support.ports import free_ports
from tests.support.two_regions import OTHER_SECRET, SECRET, settings
from tests.support.waiting import until

OLD, BOTH, SWAPPED, NEW = SECRET, f"{SECRET} {OTHER_SECRET}", f"{OTHER_SECRET},{SECRET}", OTHER_SECRET
#: What docs/security.md says to set, one after the other.
STEPS = [OLD, BOTH, SWAPPED, NEW]


@pytest.mark.parametrize(("before", "after"), list(pairwise(STEPS)), ids=["first", "second", "third"])
def test_tokens_of_a_step_are_valid_in_the_next_one_and_the_other_way_round(before, after):
    for signs, verifies in [(before, after), (after, before)]:
        payload, _ = unsign(sign(b"seen", Secrets(signs)), Secrets(verifies), 60)
        assert payload == b"seen"


def test_tokens_of_a_secret_that_was_removed_are_forged():
    with pytest.raises(InvalidToken, match="another FLY_ORM_SECRET") as caught:
        unsign(sign(b"seen", Secrets(OLD)), Secrets(NEW), 60)
    assert caught.value.reason == "forged"


def opening_channels():
    """Whether anybody opens channels ahead of need."""
    return any(thread.name == "fly_orm channel opener" for thread in threading.enumerate())


class FailedProofs(fly_orm.Observer):
    """Counts the peers that could not prove to a node that they hold its secret."""

    def __init__(self):
        self.count = 0

    def proof_failed(self, event):
        self.count += 1


class Writer:
    """A process in lax that writes all the time, as far as nodes can tell."""

    def __init__(self, regions, nodes, **given):
        self._regions, self._nodes, self._given = regions, nodes, given
        self.written, self.errors = 0, []
        self._database, self._stopping = None, threading.Event()
        self._thread = threading.Thread(target=self._run)

    def restart(self, secret=SECRET):
        """Replace the process by one that has these secrets. The first time, start it."""
        before, self._database = self._database, self._regions.lax(options={"settings": self._settings(secret)})
        if before is None:
            self._thread.start()
        self.write_more()
        if before is not None:  # what it does in the background ends with the process
            before._fly_orm.close()
            until(lambda: not opening_channels())

    def write_more(self):
        """Wait until it has written a few rows more."""
        enough = self.written + 5
        while self.written < enough and not self.errors:
            self._stopping.wait(0.001)

    def stop(self):
        self._stopping.set()
        self._thread.join()

    def _settings(self, secret):
        return settings("lax", secret=secret, nodes={"syd": self._nodes}, **self._given)

    def _run(self):
        while not self._stopping.is_set() and not self.errors:
            database = self._database
            try:
                database.execute_sql("INSERT INTO t VALUES (1)")
                self.written += 1
            except Exception as error:
                self.errors.append(error)
            finally:
                if not database.is_closed():
                    database.close()


def test_nodes_and_clients_are_restarted_one_by_one_and_no_write_fails(regions):
    regions.query("CREATE TABLE t (i int)")
    addresses = [f"127.0.0.1:{port}" for port in free_ports(2)]
    served = [regions.syd(options={"settings": settings("syd")}) for _ in addresses]

    def start(number, secret):
        return fly_orm.serve(served[number], listen=addresses[number], settings=settings("syd", secret=secret))

    serving = [start(number, OLD) for number in range(2)]
    writer = Writer(regions, tuple(Node(region="syd", address=address) for address in addresses))
    failed = FailedProofs()
    observation = fly_orm.observe(failed)
    try:
        writer.restart(OLD)
        for secret in STEPS[1:]:
            for number in range(2):
                serving[number].close()
                serving[number] = start(number, secret)
                writer.write_more()
            writer.restart(secret)
        assert writer.errors == []
    finally:
        writer.stop()
        observation.end()
        for each in serving:
            each.close()
    assert failed.count == 0
    assert regions.query("SELECT count(*) FROM t") == writer.written


def test_all_certificates_and_their_authority_are_replaced_and_no_write_fails(regions, tmp_path):
    """A node and a client go on without a restart; others join them at each step."""
    regions.query("CREATE TABLE t (i int)")
    old, new, used = Certificates(tmp_path / "old"), Certificates(tmp_path / "new"), Installed(tmp_path / "used")
    used.install(old, old)
    given, addresses = used.settings(), [f"127.0.0.1:{port}" for port in free_ports(2)]
    served = [regions.syd(options={"settings": settings("syd")}) for _ in addresses]

    def start(number):
        return fly_orm.serve(served[number], listen=addresses[number], settings=settings("syd", **given))

    nodes = tuple(Node(region="syd", address=address) for address in addresses)
    steady, joining = Writer(regions, nodes, **given), Writer(regions, nodes[:1], **given)
    serving = [start(number) for number in range(2)]
    try:
        steady.restart()
        for step in [(old, old, new), (new, old, new), (new, new)]:
            used.install(*step)
            joining.restart()  # which finds the node that goes on
            serving[1].close()
            serving[1] = start(1)
            steady.write_more()
        assert steady.errors + joining.errors == []
    finally:
        for each in (steady, joining):
            each.stop()
        for each in serving:
            each.close()
    assert regions.query("SELECT count(*) FROM t") == steady.written + joining.written
