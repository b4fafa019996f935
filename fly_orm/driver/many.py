"""``executemany()`` of a routing cursor."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import psycopg2

from ..classify import Statement
from ..protocol.messages import Result
from ..routing.decide import Action, Decision
from ..routing.notices import Apart
from ..routing.replica_errors import tried_to_write
from ..routing.session_following import LOCKED
from . import observed
from .batches import batches, taken
from .copying_cursor import CopyingCursor
from .raw_parameters import statement_of_rows


class ManyRowsCursor(CopyingCursor):
    """A cursor that executes one statement for each of many rows of parameters."""

    def executemany(self: Any, query: Any, vars_list: Iterable[Any]) -> None:
        self._check_unnamed("executemany")
        rows, failure = taken(vars_list)
        if rows:
            self._execute_many(query, rows)
        elif failure is None:
            self._show(Result(row_count=0, status_message=self.statusmessage), self.query)
        if failure is not None:
            raise failure  # psycopg2 has executed what came before, too

    def _execute_many(self: Any, query: Any, rows: list[Any]) -> None:
        with observed.block(self, query, count=len(rows)):
            self._execute_rows(query, rows)

    def _execute_rows(self: Any, query: Any, rows: list[Any]) -> None:
        if self.connection.begins:
            self._bind(query, rows[0])  # if this raises, no transaction begins
        statement, decision = self._decide(query, statement_of_rows(self, query, rows))
        with self.connection.noting_held(statement):
            self._carry_out_rows(query, rows, statement, decision)

    def _carry_out_rows(self: Any, query: Any, rows: list[Any], statement: Statement, decision: Decision) -> None:
        if decision.action is Action.HERE:
            self._run_settling(statement, decision, "executemany", query, rows)
            return
        why, wrote, waited = decision.why, False, decision.waited
        if decision.action is Action.READ_HERE:
            with Apart(self.connection) as notices:
                try:
                    self.run_here(decision, "executemany", query, rows)
                except psycopg2.Error as error:
                    # The ones before the one that was refused were reads, so all of them can be repeated.
                    why, wrote = self.connection.why_ask_primary(error, statement), tried_to_write(error)
                else:
                    if self.connection.followed(statement):
                        return
                    why = LOCKED
                notices.repeated = True
        elif decision.action is not Action.FORWARD:
            for vars_ in rows:
                self._execute_one(query, vars_)
            return
        sqls, failure = taken(self._bind(query, vars_) for vars_ in rows)
        total = 0
        for batch in batches(sqls):
            result = self._forward(batch, statement, why, wrote=wrote, waited=waited)
            waited = 0.0
            total = -1 if -1 in (total, result.row_count) else total + result.row_count
        if failure is not None:
            raise failure
        self._show(Result(row_count=total, status_message=result.status_message), sqls[-1])
