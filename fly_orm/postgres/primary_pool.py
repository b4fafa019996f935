"""A pool of connections to one primary, shared by callers one after another."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any

import psycopg2

from ..concurrency.pool import Pool, PoolTimeout
from ..concurrency.timer import Timer
from ..deadline import Deadline
from ..errors import NotPrimary
from .libpq import break_off
from .primary_connection import PrimaryConnection, Profile
from .recovery import is_replica

#: A connection that is not ready, or clean again, in so many seconds is closed: a dead server must not hold up others.
CLEAN_TIMEOUT = 3.0


class PrimaryPool:
    """A bounded number of connections to one primary, cleaned between callers. Thread-safe."""

    def __init__(self, name: str, connect: Callable[[], Any], *, max_size: int) -> None:
        self.name = name
        self._connect = connect
        self._pool: Pool[PrimaryConnection] = Pool(self._open, PrimaryConnection.close, max_size=max_size)
        self._used: queue.SimpleQueue[PrimaryConnection | None] = queue.SimpleQueue()
        self._closing = threading.Lock()
        self._closed = False
        self._timer = Timer(f"fly_orm timer of {name}")
        self._cleaner = threading.Thread(target=self._clean_used, name=f"fly_orm cleaner of {name}", daemon=True)
        self._cleaner.start()

    def acquire(self, profile: Profile, deadline: Deadline) -> PrimaryConnection:
        """A connection with these session settings, for the caller alone.

        PoolTimeout if all are in use until the deadline, NotPrimary if the server is a replica, psycopg2's error if it
        cannot be reached or does not take the settings.
        """
        while not self._prepare(connection := self._pool.acquire(deadline), profile, deadline):
            self._pool.discard(connection)
        return connection

    def _prepare(self, connection: PrimaryConnection, profile: Profile, deadline: Deadline) -> bool:
        """Give the connection these settings in time; False if it was lost while it was idle."""
        try:
            with self._timer.limit(deadline.remaining(), connection.break_off):
                if connection.is_stale():
                    return False
                connection.take_profile(profile)
                return True
        except BaseException:
            self._pool.discard(connection)
            raise

    def release(self, connection: PrimaryConnection) -> None:
        """Take a connection back; it is cleaned in the background, so that the caller's reply need not wait for it."""
        with self._closing:
            if not self._closed:
                self._used.put(connection)
                return
        self._pool.release(connection)

    def check(self) -> None:
        """Raise what :meth:`acquire` would, for want of a primary."""
        try:
            while (connection := self._pool.acquire(Deadline.after(0))).is_stale():
                self._pool.discard(connection)
        except PoolTimeout:
            return  # all of them are at work
        self._pool.release(connection)

    def close(self) -> None:
        """Close all connections, those lent out when they come back."""
        self._pool.close()
        with self._closing:
            self._closed = True
            self._used.put(None)
        self._cleaner.join()
        self._timer.close()

    def _open(self, _deadline: Deadline) -> PrimaryConnection:
        raw = self._connect()
        try:
            with self._timer.limit(CLEAN_TIMEOUT, lambda: break_off(raw)):
                connection = PrimaryConnection(raw)
        except psycopg2.Error:
            raw.close()
            raise
        if is_replica(connection.raw):
            connection.close()
            raise NotPrimary(
                f"the database {self.name!r} of this node is a replica (pg_is_in_recovery() is true there); "
                "point the nodes of the primary region to the primary"
            )
        return connection

    def _clean_used(self) -> None:
        while (connection := self._used.get()) is not None:
            try:
                with self._timer.limit(CLEAN_TIMEOUT, connection.break_off):
                    connection.clean()
                    connection.wake_senders()
            except psycopg2.Error:
                self._pool.discard(connection)
            else:
                self._pool.release(connection)
