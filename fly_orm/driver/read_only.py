"""A connection to a primary that behaves like one to a replica, for development without a replica."""

from __future__ import annotations

from typing import Any

from psycopg2 import extensions as ext

from ..classify import SETTING_CHANGES, Kind, Statement
from ..routing.decide import Decision
from ..sessions.served import Served, ServedHere
from .connection import RoutingConnection

#: With this setting a primary refuses the writes that a replica would refuse.
_READ_ONLY = "default_transaction_read_only"
#: Statements that cannot change the modes of an open transaction; after a read, nothing can.
_KEEP_MODES = frozenset({Kind.READ, Kind.COMMIT, Kind.ROLLBACK})


class ReadOnlyConnection(RoutingConnection):
    """A connection that routes even on a primary, where its Postgres session is read-only (``FLY_ORM_READ_ONLY``).

    A statement may switch that off for later transactions. The server reports it with the reply (Postgres manual,
    PQparameterStatus), and it is switched on again before the next statement. A startup option would not do: it
    replaces those in PGOPTIONS or a service file, and poolers such as PgBouncer may refuse it. Connecting through a
    pooler raises NotSupported, since another Postgres session may serve the next statement.
    """

    unprotected = (
        "FLY_ORM_READ_ONLY needs a server that reports {setting}. Connect to PostgreSQL 14 or newer without a "
        "connection pooler in between, or switch FLY_ORM_READ_ONLY off"
    )
    """The error if nothing would tell that the Postgres session is no longer read-only."""

    def as_plain_read(self, query: Any, statement: Statement) -> Served | None:
        return None  # before each read, the Postgres session has to be found read-only

    def _serve_as(self, served_here: ServedHere) -> None:
        super()._serve_as(served_here)
        self.plain_reads = {}

    def route(self, statement: Statement) -> Decision:
        """As for a replica, in a Postgres session that is read-only and stays so."""
        self._check_open()
        self._make_read_only()
        decision = super().route(statement)
        if self._transaction_here:
            self._keep_read_only(statement)
        return decision

    def _routes(self) -> bool:
        self.instance, self._start = self.router.local.starts.begin(self)
        if self.get_parameter_status(_READ_ONLY) is None or self.instance is None:
            ext.connection.close(self)
            self._refuse(self.unprotected.format(setting=_READ_ONLY))
        self._make_read_only()
        return True

    @property
    def promoted(self) -> bool:
        return False

    @property
    def _read_only(self) -> bool:
        """Whether transactions are read-only by default."""
        return self.get_parameter_status(_READ_ONLY) == "on"

    def _make_read_only(self) -> None:
        """Make transactions read-only by default again. An open one does not depend on the default."""
        if not (self._read_only or self._transaction_here):
            with ext.cursor(self) as cursor:
                cursor.execute(f"SET {_READ_ONLY} TO on")

    def _keep_read_only(self, statement: Statement) -> None:
        """Keep this statement from making the open transaction READ WRITE."""
        if statement.ends_transaction:
            self._refuse(
                "with FLY_ORM_READ_ONLY, one of several statements in a string cannot end the transaction; execute "
                "COMMIT or ROLLBACK by itself"
            )
        harmless = statement.kind in _KEEP_MODES or (statement.kind in SETTING_CHANGES and not statement.primary_only)
        if not harmless and self.get_transaction_status() == ext.TRANSACTION_STATUS_INTRANS:
            with ext.cursor(self) as cursor:
                cursor.execute(
                    "SELECT"
                )  # after a query, Postgres refuses READ WRITE (Postgres manual, SET TRANSACTION)
