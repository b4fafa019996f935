"""Waits under way, and the queries that they make."""

from __future__ import annotations

import threading
from contextlib import closing, contextmanager

import psycopg2
from psycopg2 import extensions as ext

from fly_orm.deadline import Deadline
from fly_orm.lsn import LSN
from fly_orm.testing import Wan
from tests.support.waiting import until

FAR = LSN(2**63)


class Interrupted(BaseException):
    """As KeyboardInterrupt is."""


class Connecting:
    """Opens connections to a server and keeps them in view; calls ``asked`` after each query on one of them."""

    def __init__(self, server):
        self.server = server
        self.opened = []
        self.queries = []
        self.asked = lambda: None

    def __call__(self):
        made = self.server.connect()
        made.cursor_factory = self.cursor
        self.opened.append(made)
        return made

    def cursor(self, *args, **kwargs):
        made = _Watched(*args, **kwargs)
        made.connecting = self
        return made

    @property
    def open(self):
        return [made for made in self.opened if not made.closed]


class _Watched(ext.cursor):
    def execute(self, sql, *args):
        self.connecting.queries.append(sql)
        super().execute(sql, *args)
        self.connecting.asked()


def write(cluster):
    """The flush LSN of the primary after something was committed."""
    with closing(cluster.primary.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_logical_emit_message(true, 'test', 'x')")
        cursor.execute("SELECT pg_current_wal_flush_lsn()::text")
        return LSN.parse(cursor.fetchone()[0])


def in_thread(call):
    """Run ``call`` in a thread; returns the thread and the list that its result or error lands in."""
    got = []

    def run():
        try:
            got.append(call())
        except (Exception, Interrupted) as error:
            got.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, got


def waiting(waiter, lsn, timeout=30):
    """A thread that waits, in line by now unless it need not be; and what it got."""
    before = len(waiter._queue)
    thread, got = in_thread(lambda: waiter.wait(lsn, Deadline.after(timeout)))
    until(lambda: got or len(waiter._queue) > before)
    return thread, got


def is_newest(cluster):
    return int(cluster.replica.query("SHOW server_version_num")) >= 190000


@contextmanager
def blocking():
    """A function for ``Connecting.asked`` that holds up the first who calls it, and what lets that go on."""
    reached, go_on = threading.Event(), threading.Event()

    def hold():
        reached.set()
        go_on.wait()

    try:
        yield hold, reached, go_on
    finally:
        go_on.set()


@contextmanager
def through_a_network(cluster, kind):
    server = cluster.replica
    with Wan(f"{server.host}/.s.PGSQL.{server.port}") as wan:
        host, port = wan.address.rsplit(":", 1)
        given = {**server.params(), "host": host, "port": port}

        def connect():
            made = psycopg2.connect(**given)
            made.autocommit = True
            return made

        with closing(kind(connect)) as waiter:
            yield wan, waiter
