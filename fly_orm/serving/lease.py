"""A primary connection held for one caller."""

from __future__ import annotations

import math
from collections.abc import Callable, Set
from typing import Any

import psycopg2
from psycopg2 import extensions as ext

from ..deadline import Deadline, now
from ..postgres.cleaner import CLEAN_TIMEOUT
from ..postgres.cursors import recent_notices
from ..postgres.libpq import has_hung_up
from ..postgres.primary_connection import PrimaryConnection
from ..postgres.primary_pool import PrimaryPool
from ..postgres.running_statement import RunningStatement
from ..postgres.sql_error import query_cancelled
from ..postgres.transaction_ids import read_open
from ..postgres.watchdog import Watchdog
from ..postgres.write_ahead_log import Commit
from ..protocol.messages import Copying, Done, Run, Settle, Settled, Watch
from .batched import BatchedStatements
from .copy_files import CopyInput, CopyOutput
from .lease_errors import TooLate, broken, described, timeout_text
from .own_transaction import in_transaction
from .position_after import position_after
from .recorded import Executed, RecordedRequest, begin
from .reports import report
from .result_limit import ResultLimit, writes_at_length
from .results import execute, execute_one
from .settled import settled
from .steps import SteppedRequest, Steps

_IDLE = ext.TRANSACTION_STATUS_IDLE
_IN_TRANSACTION = ext.TRANSACTION_STATUS_INTRANS
_IN_ERROR = ext.TRANSACTION_STATUS_INERROR

_TOO_LATE = "the caller's deadline passed before it could begin"
#: A session-level lock that a statement has taken is held although the statement failed.
_STATE = Watch(state=True)


def _nothing() -> None:
    """Do nothing."""


class Lease:
    """A connection from the pool on which one caller's requests run. One thread runs at a time; any may cancel."""

    # Most leases are for one request, and keep these.
    holder: tuple[str, str] | None = None
    """Whose share of the node's leases it is part of."""
    opened_at: float | None = None
    """When it was opened (monotonic), if observers were told."""
    _running: RunningStatement | None = None
    _deadline = Deadline.after(None)
    """When the request that runs has to be answered, or a piece of its result."""
    _is_cut_short = False
    """Whether that is before its caller's deadline."""
    _stepped: SteppedRequest | None = None
    """The last request that was not plain."""
    _may_make: Set[str] = frozenset()
    """The customized settings that its statements may have made, and that nobody has looked for yet."""

    def __init__(
        self,
        id: bytes,  # noqa: A002
        pool: PrimaryPool,
        connection: PrimaryConnection,
        watchdog: Watchdog,
        statement_timeout: float | None = None,
    ) -> None:
        """``statement_timeout`` is how long a request may run, whatever its deadline."""
        self.id = id
        self.database = pool.name
        self._pool = pool
        self._connection = connection
        self._raw = connection.raw
        self._statement_timeout = statement_timeout
        self._watchdog = watchdog
        self._bound = ResultLimit(self._raw, watchdog.most)
        self.give_up: Callable[[], None] = _nothing
        """Ends it, unless a request is being handled. Any thread may call."""

    def run(
        self, request: Run, deadline: Deadline, pieces: CopyInput | CopyOutput | None = None, *, plain: bool = False
    ) -> Done | Copying:
        """Execute the request and return the reply. ConnectionBroken if the connection breaks meanwhile.

        ``plain`` says that it is as :func:`is_plain` says. ``pieces`` is the file of a COPY whose data travels in
        pieces, which is not cancelled at the deadline. TooLate if that passes before a statement begins, unless others
        of this request are committed already. A Copying has the first piece of a long result; then :meth:`go_on`, or
        :meth:`abandon`, has to be next.
        """
        self._set_deadline(deadline, limited=not request.commits)
        if plain:
            return self._run_plain(request)
        self._stepped = SteppedRequest()
        return self._paused(self._stepped.begin(self._run_any(request, pieces)))

    def go_on(self, deadline: Deadline) -> Done | Copying:
        """The next piece of the result, or what :meth:`run` returns or raises. It has a deadline of its own."""
        self._set_deadline(deadline)
        if (running := self._running) is not None:
            running.go_on(self._deadline.at)
        assert self._stepped is not None  # noqa: S101  # because it has returned a piece
        return self._paused(self._stepped.go_on())

    def abandon(self) -> None:
        """End a request whose result goes on, and its connection, which would have to be read to the result's end."""
        self.break_off()
        if self._stepped is not None:
            self._stepped.close()
        self._raw.close()

    def _set_deadline(self, deadline: Deadline, *, limited: bool = True) -> None:
        self._deadline = deadline.within(self._statement_timeout) if limited else deadline
        self._is_cut_short = self._deadline is not deadline

    def _paused(self, reply: Done | Copying) -> Done | Copying:
        """The reply. If it has a piece, the statement waits for its caller, without a time limit."""
        if isinstance(reply, Copying) and (running := self._running) is not None:
            running.ends_at = math.inf
        return reply

    def _run_any(self, request: Run, pieces: CopyInput | CopyOutput | None) -> Steps[Done]:
        self._connection.made.update(request.made_settings)
        if request.watch is not None:
            self._may_make |= request.watch.customized
        cursor = self._connection.callers_cursor(may_change_role=request.may_change_role)
        executed = yield from self._execute(cursor, request, pieces)
        notices, transaction = recent_notices(self._raw), self._transaction
        watch = request.watch or (_STATE if executed.error is not None and request.keeps_lease else None)
        session = None if watch is None or transaction != _IDLE else report(self._connection, watch)
        if session is not None and not request.keeps_lease:  # otherwise, EXECUTE may still make it
            self._may_make = frozenset()
        keeps = request.keeps_lease or (session is not None and session.has_state) or transaction != _IDLE
        wanted = request.wants_position and (request.commits or transaction == _IDLE) and not executed.unrecorded
        clean = None if keeps else self._clean
        position = position_after(self._connection, executed, transaction, clean, self._pool) if wanted else None
        return Done(
            result=executed.result,
            results=executed.results,
            error=executed.error,
            notices=notices if executed.notices is None else executed.notices,
            position=position,
            transaction=transaction,
            opened=executed.opened,
            lease_open=keeps and not self._raw.closed,
            start_settings=None if request.requested_settings is None else self._connection.start_settings,
            may_have_written=executed.commit.wrote,
            session=session,
            unrecorded=executed.unrecorded,
        )

    def _run_plain(self, request: Run) -> Done:
        """:meth:`_run_any` for a request that is plain, as most are: the same, without what those do not need."""
        connection, raw = self._connection, self._raw
        position = None
        running = self._begin_to_run(self._deadline.at)
        try:
            try:
                connection.begin(request.statements)
                if self._deadline.at <= now():
                    raise TooLate(_TOO_LATE)
                cursor = connection.callers_cursor(may_change_role=request.may_change_role)
                executed = Executed(execute_one(cursor, request.statements[0], self._bound))
            except psycopg2.Error as error:
                if raw.closed and error.pgcode is None:
                    raise broken(error, running, self._bound, undecided=True) from error
                executed = Executed(None, described(error, running, self._bound, self._timeout_text))
            notices = recent_notices(raw) if raw.notices else []
            transaction = raw.get_transaction_status()
            if transaction == _IDLE:
                running.ends_at, running.received_before = now() + CLEAN_TIMEOUT, None
                position = position_after(connection, executed, transaction, self._clean_at_once, self._pool)
        finally:
            self._end(running)
        return Done(
            result=executed.result,
            error=executed.error,
            notices=notices,
            position=position,
            transaction=transaction,
            lease_open=transaction != _IDLE and not raw.closed,
        )

    def settle(self, question: Settle, deadline: Deadline) -> Settled:
        """What became of a request of another lease, perhaps on another node. It can commit nothing from now on.

        Refused if that cannot be told; psycopg2's error if there is no answer by the deadline.
        """
        running = self._begin_to_run(deadline.at)
        try:
            return settled(self._connection, question)
        finally:
            self._end(running)

    def cancel(self) -> None:
        """Cancel the statement that is running, if there is one. Any thread may call."""
        if (running := self._running) is not None:
            running.cancel()

    def time_out(self) -> None:
        """Let the watchdog end the statement that is running: its caller's time is over, or the caller is gone."""
        if (running := self._running) is not None:
            running.ends_at = min(running.ends_at, now())

    def break_off(self) -> None:
        """Close the connection if a statement is running on it."""
        if (running := self._running) is not None:
            running.break_off()

    def is_lost(self) -> bool:
        """Whether the connection to the primary was lost while it was idle."""
        return bool(self._raw.closed) if self.in_transaction else self._connection.is_lost()

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open, and idle."""
        return self._transaction in (_IN_TRANSACTION, _IN_ERROR)

    def has_hung_up(self) -> bool:
        """Whether the primary has closed the connection. Any thread may call."""
        return has_hung_up(self._raw)

    def end(self) -> None:
        """Give the connection back to the pool, which rolls back what is open on it."""
        if self._stepped is not None and self._stepped.goes_on:
            self.abandon()
        self._connection.made |= self._may_make
        self._connection.buffered = self._bound.buffered
        self._pool.release(self._connection)

    @property
    def _transaction(self) -> int:
        """The transaction status that libpq reports."""
        status: int = self._raw.get_transaction_status()
        return status

    def _execute(self, cursor: Any, request: Run, pieces: CopyInput | CopyOutput | None) -> Steps[Executed]:
        batched = None if request.batch is None else BatchedStatements(self._connection, request.batch, self._bound)
        recorded = None
        if (record := request.record) is not None:
            recorded = RecordedRequest(self._connection, request, record, self._bound, self._note_own_commit)
        # If the connection breaks, an open transaction is rolled back, unless its COMMIT had been sent. Outside a
        # transaction each statement commits by itself, perhaps just before the connection broke.
        alone = self._transaction == _IDLE and not request.preamble
        undecided = alone and recorded is None
        commit = Commit()
        # A COMMIT that waits for a synchronous standby has no time limit. It has already committed locally, and a
        # cancelled wait would only hide that the standby does not have it yet (SyncRepWaitForLSN in syncrep.c).
        waits = request.commits and not request.commit_limited
        running = self._begin_to_run(
            math.inf if waits or pieces is not None else self._deadline.at,
            is_measured=not isinstance(pieces, CopyInput),
        )
        try:
            try:
                running.may_wait_for_standby = waits
                note = self._connection.begin if request.opens_lease else self._connection.go_on
                note(request.texts)
                self._check_time()
                if recorded is not None and alone and not request.commits:
                    return (yield from recorded.run(cursor, self._check_time, pieces))
                begin(cursor, request, recorded, self._transaction)
                if batched is not None:
                    check, wants_id = self._check_time, request.wants_id
                    return batched.run(cursor, check, running, recorded, wants_id=wants_id)
                wants_commit = request.wants_position or recorded is not None
                if request.commits and wants_commit and self._transaction == _IN_TRANSACTION:
                    commit = self._connection.wal.upcoming_commit()  # after COMMIT, Postgres no longer tells
                    running.may_wait_for_standby = commit.waits
                    if recorded is not None and recorded.records(commit):
                        self._check_time()
                        if not commit.waits:
                            running.ends_at = self._deadline.at
                        return recorded.commit(request.statements[0], commit)
                undecided = undecided or request.commits or request.ends_transaction
                work = execute(cursor, request, self._check_time, pieces, self._bound)
                if alone and writes_at_length(request):  # no transaction is open in which it would run
                    work = in_transaction(self._raw, work, lambda: None if pieces else self._check_time(), self._bound)
                result = yield from work
                if request.keeps_lease or request.watch is not None or self._transaction == _IN_TRANSACTION:
                    self._connection.restore(request.resets)
                wants_id = request.wants_id and self._transaction == _IN_TRANSACTION
                opened = read_open(self._raw, self._connection.server_run) if wants_id else None
                return Executed(result, commit=commit, opened=opened)
            finally:
                self._end(running)
        except psycopg2.Error as error:
            # With an SQLSTATE the server itself has said that it gives up, and that the statement failed. But that may
            # have been the question for the position, in the same string as a COMMIT.
            committing = recorded is not None and recorded.committing
            committing = committing or (batched is not None and batched.committing and bool(self._raw.closed))
            if committing or (self._raw.closed and error.pgcode is None):
                may_have_ended = not isinstance(pieces, CopyInput) or pieces.complete
                undecided = (undecided and may_have_ended) or committing
                raise broken(error, running, self._bound, undecided=undecided) from error
            results = None if batched is None else batched.results
            return Executed(None, described(error, running, self._bound, self._timeout_text), commit, results=results)

    def _check_time(self, number: int = 0) -> None:
        """Raise unless there is time to begin the next statement, which is preceded by ``number`` others."""
        if number and (running := self._running) is not None:
            running.received_before = None  # as the result of that statement is another one
        if self._deadline.at > now():
            return
        if number and (running := self._running) is not None and self._transaction == _IDLE:  # those are committed
            running.is_timed_out = True
            raise query_cancelled(self._timeout_text)
        raise TooLate(_TOO_LATE)

    def _begin_to_run(self, ends_at: float, *, is_measured: bool = True) -> RunningStatement:
        """Let any thread cancel what runs from now on, until :meth:`_end`, and the watchdog at this instant.

        It does so too if ``is_measured`` and a result becomes too long.
        """
        bound = self._bound
        running = self._running = bound.running = RunningStatement(
            self._raw, ends_at=ends_at, is_measured=is_measured, progress=bound.progress
        )
        self._watchdog.begin(running)
        return running

    def _end(self, running: RunningStatement) -> None:
        self._running = self._bound.running = None
        self._watchdog.end(running)
        running.end()

    def _note_own_commit(self) -> None:
        if (running := self._running) is not None:
            running.may_wait_for_standby = True

    def _clean(self) -> str | None:
        running = self._begin_to_run(now() + CLEAN_TIMEOUT)
        try:
            return self._clean_at_once()
        finally:
            self._end(running)

    def _clean_at_once(self) -> str | None:
        return self._connection.clean_at_once(is_followed=self._pool.is_shared)

    @property
    def _timeout_text(self) -> str:
        return timeout_text(self._statement_timeout if self._is_cut_short else None)
