"""Executes the statements of a batch, up to the first whose result is not as its caller expects, and commits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from ..postgres.primary_connection import PrimaryConnection
from ..postgres.running_statement import RunningStatement
from ..postgres.transaction_ids import read_open
from ..protocol.encoding import encode
from ..protocol.messages import Batch, Done, Result, Step
from .recorded import Executed, RecordedRequest
from .result_limit import ResultLimit
from .results import result_of


class BatchedStatements:
    """The statements of a batch, and the results of those that were executed."""

    def __init__(self, connection: PrimaryConnection, batch: Batch, limit: ResultLimit) -> None:
        self._connection = connection
        self._batch = batch
        self._limit = limit
        self._known = {name: set(values) for name, values in batch.known.items()}
        self.results: list[Result] = []
        self.committing = False
        """Whether the COMMIT has been sent."""

    def run(
        self,
        cursor: Any,
        check: Callable[[int], None],
        running: RunningStatement,
        recorded: RecordedRequest | None,
        *,
        wants_id: bool,
    ) -> Executed:
        """Execute them in the open transaction, which is committed if the batch says so and all results are expected.

        Raises what the driver raises for the first that fails. ``check`` is called with the number of each before it
        begins. ``wants_id`` asks for the id of a transaction that stays open.
        """
        if not (self._execute(cursor, check) and self._batch.commits):
            opened = read_open(self._connection.raw, self._connection.server_run) if wants_id else None
            return Executed(opened=opened, results=self.results)
        commit = self._connection.wal.upcoming_commit()
        check(0)
        running.may_wait_for_standby = commit.waits  # until the deadline, so that its caller knows when it is final
        self.committing = True
        if recorded is not None and recorded.records(commit):
            reply = encode(Done(results=self.results))
            return msgspec.structs.replace(recorded.commit(b"COMMIT", commit, reply), results=self.results)
        cursor.execute("COMMIT")
        return Executed(commit=commit, results=self.results)

    def _execute(self, cursor: Any, check: Callable[[int], None]) -> bool:
        """Execute the statements; whether all of them have had results as expected."""
        for number, step in enumerate(self._batch.steps):
            check(number)
            self._limit.note(len(step.statement))
            cursor.execute(step.statement)
            result = result_of(cursor, cursor.rowcount, self._limit)
            self.results.append(result)
            if not self._is_expected(result, step):
                return False
        return True

    def _is_expected(self, result: Result, step: Step) -> bool:
        if result.row_count < step.least_rows:
            return False
        if not step.unlike:
            return True
        value, known = (result.data[0][0] if result.data else None), self._known.setdefault(step.unlike, set())
        if value is None or value in known:
            return False
        known.add(value)
        return True
