"""What a connection knows of plain reads, so that each costs next to nothing."""

from __future__ import annotations

from typing import Any

from ..classify import Statement
from ..sessions.served import Served, ServedHere
from .implicit_transactions import ImplicitTransactions


class PlainReads(ImplicitTransactions):
    """Remembers the texts of plain reads; see :meth:`fly_orm.driver.cursor.RoutingCursor.execute`."""

    served_here: ServedHere
    """What :func:`fly_orm.why` shows of a statement that runs on this server."""
    plain_reads: dict[str, Served]
    """The same for plain reads, by their texts."""

    @property
    def reads_before_begin(self) -> bool:
        """Whether a read runs outside of the transaction that the DB-API wants, which has not begun."""
        return not self._begun and self.defers_reads and not self.promoted

    def as_plain_read(self, query: Any, statement: Statement) -> Served | None:
        """How this server serves a plain read, whose text is remembered; None if all reads run on the primary."""
        if self.router.freshness.reads_on_primary:
            return None
        if type(query) is str and self.router.classify.remembers(query):
            self.served_here.remember(query, statement.why)
        return self.served_here[statement.why]

    def _serve_as(self, served_here: ServedHere) -> None:
        """Note how this server serves statements, which all connections to it share."""
        self.served_here, self.plain_reads = served_here, served_here.plain_reads
