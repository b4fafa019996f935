"""The requests that a connection sends to the primary region."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from ..classify import Kind, Statement
from ..forwarding.copying import CopyData
from ..protocol.messages import Record, Run, Settle, Watch
from .recording import record_of
from .router import Router
from .session_following import ask_here, watch
from .session_settings import SessionSettings
from .transaction import RemoteTransaction


class Requests:
    """Makes the requests of one routing connection, with what its session has."""

    def __init__(self, router: Router, settings: SessionSettings) -> None:
        self._router = router
        self._settings = settings

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
    ) -> Run:
        """The request to execute statements. One that opens a lease has all that the lease needs.

        ``writes`` says that the statement certainly writes. ``copy`` is the data of a COPY. NotSupported if it cannot
        be the operation that it is in.
        """
        record = record_of(statement, transaction, exactly_once=self._router.exactly_once, writes=writes)
        opening = self._opening(connection) if opens_lease else {}  # without what this statement is going to set
        self._settings.note_made(statement, sqls)
        return Run(
            database=self._router.name,
            lease=b"",
            encoding=connection.get_parameter_status("client_encoding") or "UTF8",
            **opening,
            made_settings=list(self._settings.made),
            resets=self._settings.reset_by(statement),
            preamble=[] if transaction is None else transaction.pending,
            statements=list(sqls),
            **({} if copy is None else copy.fields),
            keeps_lease=has_state or statement.leaves_state,
            commits=statement.kind is Kind.COMMIT,
            ends_transaction=statement.ends_transaction,
            wants_position=self._router.freshness.wants_position(),
            may_change_role=statement.changes.may_change_role,
            watch=self._watch(statement, transaction),
            record=record,
        )

    def settle(self, connection: Any, record: Record) -> Settle:
        """The question what became of a request that was recorded in this way."""
        encoding = connection.get_parameter_status("client_encoding") or "UTF8"
        lease = os.urandom(16)
        run = Run(database=self._router.name, lease=lease, encoding=encoding, **self._opening(connection))
        return Settle(run=run, id=record.id)

    def _opening(self, connection: Any) -> dict[str, Any]:
        """The fields of a request that opens a lease."""
        if self._settings.is_stale:
            ask_here(connection)
        return {
            **self._settings.start_fields(connection),
            "session_settings": self._settings.profile(connection, self._router.local.unreported(connection)),
            "newest": self._router.newest_timelines(connection),
        }

    def _watch(self, statement: Statement, transaction: RemoteTransaction | None) -> Watch | None:
        changes = statement.session_changes
        return watch(changes if transaction is None else changes | transaction.changes, self._settings)
