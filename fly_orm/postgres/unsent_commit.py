"""Which commit the replicas may not have been sent yet; see :meth:`.write_ahead_log.WriteAheadLog.wake_senders`."""

from __future__ import annotations

import threading

from ..lsn import LSN
from .write_ahead_log import WriteAheadLog


class UnsentCommit:
    """The newest commit through any connection of a pool that may not have been sent yet. Thread-safe.

    If a later one was sent, so was all that came before. So only the newest has to be looked at, and while callers
    commit all the time, hardly any.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.lsn: LSN | None = None
        """Its position; None if there is none."""
        self._is_looked_at = False
        """Whether somebody is about to look."""

    def note(self, wal: WriteAheadLog) -> bool:
        """Take over what a connection has learnt of its last commit; whether somebody has to look, and nobody is to."""
        with self._lock:
            if wal.to_send is not None:
                self.lsn, wal.to_send = max(self.lsn or wal.to_send, wal.to_send), None
            elif self.lsn is not None and wal.sent >= self.lsn:
                self.lsn = None
            if self.lsn is None or self._is_looked_at:
                return False
            self._is_looked_at = True
            return True

    def begin_look(self, lsn: LSN | None) -> bool:
        """Note that the caller looks now; whether the newest such commit is still the one at this position.

        A later one has woken the senders by its flush, and has to be looked at in its turn: the caller looks again.
        """
        with self._lock:
            self._is_looked_at = self.lsn is not None and self.lsn != lsn
            return self.lsn is not None and self.lsn == lsn

    @property
    def is_looked_at(self) -> bool:
        """Whether somebody is about to look."""
        return self._is_looked_at

    def take(self) -> LSN | None:
        """The position of the commit, which the caller makes sure of; from now on there is none."""
        with self._lock:
            lsn, self.lsn = self.lsn, None
            return lsn
