"""A connection to a primary that does what one to a replica would, for development without a replica."""

from __future__ import annotations

from psycopg2 import extensions as ext

from ..classify import Kind, Statement
from ..routing.decide import Decision
from .connection import RoutingConnection

#: What makes every transaction read-only that a replica would refuse to let write.
_READ_ONLY = "default_transaction_read_only"
_SETTINGS = frozenset({Kind.SET, Kind.SET_LOCAL})
#: What leaves the modes of an open transaction alone: a read, once it has run, even fixes them.
_KEEP_MODES = frozenset({Kind.READ, Kind.COMMIT, Kind.ROLLBACK})


class ReadOnlyConnection(RoutingConnection):
    """One that routes whatever its server is: the session here is read-only, as on a replica (``FLY_ORM_READ_ONLY``).

    Whatever runs here may switch that off for later transactions; the server reports it with the answer (Postgres
    manual, libpq's PQparameterStatus), and it is undone before the next statement. Not by a startup option, which would
    take the place of those in PGOPTIONS or a service file, and which a pooler such as PgBouncer may refuse. Through a
    pooler that hides the setting, connecting fails with NotSupported.
    """

    @property
    def free(self) -> bool:
        return not self.closed and self._read_only and super().free

    def route(self, statement: Statement) -> Decision:
        """As always, in a session that is read-only and stays so."""
        self._check_open()
        self._make_read_only()
        decision = super().route(statement)
        if self._transaction_here:
            self._keep_read_only(statement)
        return decision

    def _routes(self) -> bool:
        if self.get_parameter_status(_READ_ONLY) is None:
            ext.connection.close(self)
            self._refuse(
                f"FLY_ORM_READ_ONLY needs a server that reports {_READ_ONLY}: connect to PostgreSQL 14 or newer, with "
                "no connection pooler in between, or switch it off"
            )
        self._make_read_only()
        return True

    @property
    def promoted(self) -> bool:
        return False

    @property
    def _read_only(self) -> bool:
        """Whether a transaction that begins here is read-only unless it says otherwise."""
        return self.get_parameter_status(_READ_ONLY) == "on"

    def _make_read_only(self) -> None:
        """Make the session read-only again if it is not; an open transaction does not depend on that."""
        if not (self._read_only or self._transaction_here):
            with ext.cursor(self) as cursor:
                cursor.execute(f"SET {_READ_ONLY} TO on")

    def _keep_read_only(self, statement: Statement) -> None:
        """See to it that this statement cannot make the transaction here one that writes."""
        if statement.ends_transaction:
            self._refuse(
                "with FLY_ORM_READ_ONLY, a transaction here is not ended by one of several statements in a string; "
                "execute COMMIT or ROLLBACK by itself"
            )
        harmless = statement.kind in _KEEP_MODES or (statement.kind in _SETTINGS and not statement.primary_only)
        if not harmless and self.get_transaction_status() == ext.TRANSACTION_STATUS_INTRANS:
            with ext.cursor(self) as cursor:
                cursor.execute("SELECT")  # after a query, no READ WRITE is taken (Postgres manual, SET TRANSACTION)
