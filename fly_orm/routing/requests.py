"""The requests that a connection sends to the primary region."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from ..classify import Kind, Statement
from ..forwarding.copying import CopyData
from ..forwarding.remote_lease import RemoteLease
from ..protocol.messages import Batch, Run, Settle
from .idle_session import IdleSession
from .recording import COMMIT, asked_of, record_of, record_of_batch
from .router import Router
from .session_following import ask_here, watch
from .session_settings import SessionSettings
from .transaction import RemoteTransaction


class Requests:
    """Makes the requests of one routing connection, with what its session has."""

    def __init__(self, router: Router, settings: SessionSettings) -> None:
        self._router = router
        self._settings = settings
        self.idle = IdleSession()

    def run(
        self,
        connection: Any,
        sqls: Sequence[bytes],
        statement: Statement,
        transaction: RemoteTransaction | None,
        *,
        opens_lease: bool,
        has_state: bool,
        writes: bool = True,
        copy: CopyData | None = None,
        batch: Batch | None = None,
    ) -> Run:
        """The request to execute statements. One that opens a lease has all that the lease needs.

        ``writes`` says that the statement certainly writes. ``copy`` is the data of a COPY. ``batch`` is what to
        execute instead of ``sqls``. NotSupported if it cannot be the operation that it is in.
        """
        exactly_once, asked = self._router.exactly_once, partial(self._asked, connection, sqls)
        if batch is None:
            record = record_of(statement, transaction, exactly_once=exactly_once, writes=writes, asked=asked)
        else:
            commits = batch.commits
            record = record_of_batch(statement, transaction, commits=commits, exactly_once=exactly_once)
        ends = COMMIT if batch is not None and batch.commits else statement
        opening = self._opening(connection) if opens_lease else {}  # without what this statement is going to set
        self.idle.keep(connection, self._settings)
        changes = statement.session_changes if transaction is None else statement.session_changes | transaction.changes
        return Run(
            database=connection.database,
            lease=b"",
            encoding=connection.get_parameter_status("client_encoding") or "UTF8",
            **opening,
            made_settings=[*self._settings.made, *statement.makes],
            resets=self._settings.reset_by(statement),
            preamble=[] if transaction is None else transaction.pending,
            statements=list(sqls),
            batch=batch,
            **({} if copy is None else copy.fields),
            keeps_lease=has_state or statement.leaves_state,
            commits=statement.kind is Kind.COMMIT,
            commit_limited=_is_limited(ends, transaction),
            wants_id=not self._router.exactly_once and _wants_id(ends, transaction),
            ends_transaction=statement.ends_transaction,
            wants_position=self._router.freshness.wants_position(),
            may_change_role=_may_change_role(statement, transaction),
            watch=watch(changes, self._settings),
            record=record,
        )

    def question(
        self, connection: Any, run: Run, transaction: RemoteTransaction | None, lease: RemoteLease | None
    ) -> Callable[[], Settle] | None:
        """Makes the question what became of a request; None if nobody could tell.

        The ledger tells it of what it records. Of a COMMIT the primary does, by the transaction's id; but not whether a
        synchronous standby has it, nor which session settings the transaction has changed.
        """
        if run.record is not None:
            return partial(self._question, connection, id=run.record.id)
        if not run.commit_limited or run.watch is not None or transaction is None or lease is None:
            return None
        return partial(self._question, connection, transaction=transaction.opened, lease=lease.id)

    def _asked(self, connection: Any, sqls: Sequence[bytes]) -> dict[str, str]:
        self._ask_here(connection)
        return asked_of(sqls, self._settings.tenancy)

    def _question(self, connection: Any, **about: Any) -> Settle:
        encoding = connection.get_parameter_status("client_encoding") or "UTF8"
        lease = os.urandom(16)
        run = Run(database=self._router.name, lease=lease, encoding=encoding, **self._opening(connection))
        return Settle(run=run, **about)

    def _opening(self, connection: Any) -> dict[str, Any]:
        """The fields of a request that opens a lease."""
        self._ask_here(connection)
        return {
            **self._settings.start_fields(connection),
            "session_settings": self._settings.profile(connection, self._router.local.unreported(connection)),
            "newest": self._router.newest_timelines(connection),
        }

    def _ask_here(self, connection: Any) -> None:
        """Ask the session on the replica for the settings that may have changed there."""
        if self._settings.is_stale:
            ask_here(connection)


def _is_limited(statement: Statement, transaction: RemoteTransaction | None) -> bool:
    """Whether a statement is a COMMIT that waits for no standby, as far as is known."""
    if statement.kind is not Kind.COMMIT or not statement.simple or transaction is None or transaction.failed:
        return False
    return transaction.opened is not None and not transaction.opened.commit_waits


def _wants_id(statement: Statement, transaction: RemoteTransaction | None) -> bool:
    """Whether a transaction may get its id by this statement, and asking for it takes no snapshot too early.

    What writes takes one itself. After LOCK alone, the id stays unknown, and with it what becomes of a COMMIT without a
    reply, which has written nothing then.
    """
    if transaction is None or transaction.opened is not None:
        return False
    if not (statement.takes_snapshot or transaction.has_snapshot):
        return False
    return statement.kind is Kind.WRITE or bool(statement.function_names)


def _may_change_role(statement: Statement, transaction: RemoteTransaction | None) -> bool:
    """Whether the request may change the role by more than its text shows."""
    fetches = transaction is not None and transaction.fetches_may_change_role
    return fetches or statement.changes.may_change_role
