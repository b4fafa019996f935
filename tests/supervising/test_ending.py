"""A node with workers under load: what its callers notice when workers end."""

from __future__ import annotations

import signal
import threading
from collections import Counter
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection

import pytest

import fly_orm
from tests.support.two_regions import close
from tests.support.waiting import PATIENCE, until
from tests.support.worker_processes import channel_to, until_all_serve, until_ended, worker_behind, workers_of

THREADS = 6
#: How many of their channels lead to one worker, at most, once they are spread evenly.
MOST_OF_ONE = THREADS // 2 + 1


class Load:
    """Threads that write, and what each of them was told."""

    def __init__(self, db):
        self.db = db
        self.written = Counter()
        self.failures = []
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._work, args=(number,)) for number in range(THREADS)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        for thread in self._threads:
            thread.join()

    def goes_on(self):
        """Wait until every thread has written again."""
        before = self.written.copy()
        until(lambda: all(self.written[number] > before[number] for number in range(THREADS)), "nothing is written")

    def _work(self, number):
        with self.db.connection_context():
            while not self._over.is_set():
                try:
                    self.db.execute_sql("INSERT INTO t VALUES (%s)", (number,))
                    self.written[number] += 1
                except Exception as error:
                    self.failures.append(error)


@contextmanager
def load(started, lax):
    address = started.address()
    until_all_serve(address, 2)
    db = lax(address)
    db.execute_sql("CREATE TABLE t (i int)")
    with Load(db) as writers:
        writers.goes_on()
        yield writers, address


def connections(pid, address):
    """How many channels each worker has."""
    port = int(address.split(":")[-1])
    return [
        sum(each.laddr.port == port and each.status == "ESTABLISHED" for each in worker.net_connections())
        for worker in workers_of(pid)
    ]


def rows(db):
    return db.execute_sql("SELECT count(*) FROM t").fetchone()[0]


@pytest.mark.slow
def test_no_request_fails_while_workers_are_replaced_one_after_another(node, lax):
    started = node("--workers=2")
    with load(started, lax) as (writers, address):
        before = workers_of(started.pid)
        started.process.send_signal(signal.SIGHUP)
        until(lambda: len(now := workers_of(started.pid)) == 2 and not {*now} & {*before}, "not all are replaced")
        until_all_serve(address, 2)
        writers.goes_on()
    assert writers.failures == []
    assert rows(writers.db) == writers.written.total()


@pytest.mark.slow
@pytest.mark.usefixtures("no_spare_channels")
def test_the_next_worker_is_not_replaced_while_the_last_one_drains(node, lax):
    """Whatever happens meanwhile: nobody would accept requests."""
    started = node("--workers=2", "--drain-timeout=600")
    address = started.address()
    until_all_serve(address, 2)
    first, second = workers_of(started.pid)
    with ExitStack() as transactions:
        for number in range(8):  # some of them on the first worker
            db = lax(address)
            transactions.callback(close, db)
            db.begin()
            db.execute_sql(f"CREATE TABLE t{number} (i int)")
        started.process.send_signal(signal.SIGHUP)
        until(lambda: all(accepting(address) == {2} for _ in range(3)), "the first one is not being replaced")
        second.kill()
        until(lambda: second not in workers_of(started.pid) and len(workers_of(started.pid)) == 2, "not replaced")
        third = workers_of(started.pid)[-1]
        until(lambda: 2 in accepting(address), "it does not serve")
        for _ in range(10):
            assert 2 in accepting(address)
        assert {*workers_of(started.pid)} == {first, third}
    until(lambda: not {first, third} & {*workers_of(started.pid)}, "not all are replaced")
    until_all_serve(address, 2)


def accepting(address):
    """The numbers of the workers that new channels lead to."""
    channels = [channel_to(address) for _ in range(12)]
    numbers = set(map(worker_behind, channels))
    for channel in channels:
        channel.close()
    return numbers


def test_a_worker_that_is_killed_takes_only_its_own_requests_with_it(node, lax):
    started = node("--workers=2")
    with load(started, lax) as (writers, address):
        at_risk = connections(started.pid, address)[0] + 1  # as one may just be moving there
        workers_of(started.pid)[0].kill()
        until_all_serve(address, 2)
        writers.goes_on()
        until(lambda: max(connections(started.pid, address)) <= MOST_OF_ONE, "the new worker has too few channels")
        writers.goes_on()
    assert all(isinstance(error, fly_orm.OutcomeUnknown) for error in writers.failures)
    assert len(writers.failures) <= at_risk
    assert 0 <= rows(writers.db) - writers.written.total() <= len(writers.failures)


def test_a_transaction_is_committed_while_its_worker_drains(node, lax):
    started = node("--workers=2")
    address = started.address()
    until_all_serve(address, 2)
    db = lax(address)
    with db.atomic():
        db.execute_sql("CREATE TABLE t (i int)")
        started.process.send_signal(signal.SIGTERM)
        until(lambda: declines(lax(address)), "it accepts requests")
        db.execute_sql("INSERT INTO t VALUES (1)")
    assert started.process.wait(PATIENCE) == 0
    assert rows(db) == 1


@pytest.mark.slow
def test_a_second_signal_ends_all_workers_at_once(node, lax):
    started = node("--workers=2", "--drain-timeout=600")
    address = started.address()
    until_all_serve(address, 2)
    workers = workers_of(started.pid)
    db = lax(address)
    db.begin()
    db.execute_sql("CREATE TABLE t (i int)")
    started.process.send_signal(signal.SIGTERM)
    until(lambda: declines(lax(address)), "it accepts requests")
    assert started.process.poll() is None
    started.process.send_signal(signal.SIGTERM)
    assert started.process.wait(PATIENCE) == 128 + signal.SIGTERM
    until_ended(workers)


def declines(db):
    """Whether no worker accepts a write any more."""
    try:
        db.execute_sql("CREATE TEMP TABLE mine ()")
        db.execute_sql("DISCARD ALL")
    except fly_orm.Refused:
        return True
    finally:
        db.close()
    return False


def ask(url, path):
    connection = HTTPConnection(url.removeprefix("http://").split("/")[0], timeout=PATIENCE)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_a_node_that_is_asked_before_it_serves_becomes_ready(node):
    started = node("--workers=2", "--http=127.0.0.1:0")
    url = started.process.stdout.readline().split()[-1]
    until(lambda: ask(url, "/readyz") == (200, "ready\n"), "it did not become ready")
    started.address()
    workers = workers_of(started.pid)
    started.process.terminate()
    log = started.process.stderr.read()
    until_ended(workers)
    assert "Traceback" not in log


def test_the_node_is_ready_as_long_as_one_worker_is(node):
    started = node("--workers=2", "--http=127.0.0.1:0")
    url = started.process.stdout.readline().split()[-1]
    until(lambda: ask(url, "/readyz") == (200, "ready\n"), "it did not become ready")
    assert ask(url, "/livez") == (200, "alive\n")
    workers = workers_of(started.pid)
    workers[0].suspend()
    until(lambda: ask(url, "/readyz")[0] == 200, "the other worker is not ready")
    workers[1].suspend()
    until(lambda: ask(url, "/readyz") == (503, "not ready: 2 of its workers do not answer\n"), "it is still ready")
    assert ask(url, "/livez")[0] == 200
    for worker in workers:
        worker.resume()
    until(lambda: ask(url, "/readyz")[0] == 200, "it did not become ready again")
