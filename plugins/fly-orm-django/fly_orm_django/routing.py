"""Routes the connections that a backend for PostgreSQL opens."""

from __future__ import annotations

from typing import Any

import psycopg2
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError
from django.db.backends.base.base import NO_DB_ALIAS
from django.db.backends.postgresql.psycopg_any import is_psycopg3
from django.utils.functional import cached_property
from psycopg2 import extensions as ext

from fly_orm.adapters.base import ping, was_lost
from fly_orm.errors import NotSupported

from .creation import DatabaseCreation
from .errors import DatabaseErrorWrapper
from .session_state import as_new
from .shared import Shared, retire, shared_by

#: What to do if Django does not use psycopg2.
PSYCOPG_3 = (
    "Django uses psycopg 3 wherever that is installed. Uninstall it: pip uninstall psycopg psycopg-binary psycopg-c "
    "psycopg-pool"
)
_SUPER = "let it call super().get_new_connection() with the parameters that it changes"


class RoutingMixin:
    """Goes in front of the ``DatabaseWrapper`` of a backend for PostgreSQL, and routes its connections.

    ``fly_orm_django.base`` puts it in front of Django's own. To route another one, such as PostGIS', write a package
    with such a module ``base``, and name the package as the ENGINE.
    """

    creation_class = DatabaseCreation

    # What the backend has.
    alias: str
    connection: Any
    settings_dict: dict[str, Any]
    run_on_commit: list[Any]

    _own: Shared | None = None
    """What the present connection has been opened with."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if is_psycopg3:
            raise ImproperlyConfigured(f"fly_orm_django needs psycopg2. {PSYCOPG_3}")
        super().__init__(*args, **kwargs)

    @property
    def shared(self) -> Shared:
        """What the connections of this process to the database have in common: their router, above all.

        It belongs to the database that the settings name now. Test runners change the name.
        """
        return shared_by(self)

    @property
    def opened_with(self) -> Shared | None:
        """What the present connection has been opened with; None without a connection."""
        return None if self.connection is None else self._own

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        own = self._own = self.shared
        return own.connector.open(self._get_new_connection, **conn_params)

    def init_connection_state(self) -> None:
        """As Django does it: the settings that it makes are not left by the function that first needs a connection."""
        try:
            self.shared.connector.check(self.connection, f"get_new_connection() of {type(self).__name__}", _SUPER)
        except NotSupported:
            self.connection = None
            raise
        with as_new(self.shared.router):
            super().init_connection_state()  # type: ignore[misc]  # the backend's

    def _commit(self) -> None:
        """As Django does it, which drops the ``on_commit()`` hooks after an error of the database only.

        After an interrupt, such as that of a time limit, the transaction is rolled back, or nobody knows; the hooks
        would run after the next one.
        """
        try:
            super()._commit()  # type: ignore[misc]  # the backend's
        except DatabaseError:
            raise
        except BaseException:
            self.run_on_commit = []
            raise

    def close(self) -> None:
        super().close()  # type: ignore[misc]
        if self.alias == NO_DB_ALIAS:
            retire(self)

    def _get_new_connection(self, **conn_params: Any) -> Any:
        return super().get_new_connection(conn_params)  # type: ignore[misc]  # the backend's

    @cached_property  # type: ignore[untyped-decorator]  # Django has no types
    def wrap_database_errors(self) -> DatabaseErrorWrapper:
        return DatabaseErrorWrapper(self)

    def close_if_unusable_or_obsolete(self) -> None:
        """Close the connection between two requests, also if fly_orm knows that another server is to be reached."""
        own, connection = self.opened_with, self.connection
        if own is not None and (own.connector.is_outdated(connection) or own.connector.is_past_use(connection)):
            self.close()
        else:
            super().close_if_unusable_or_obsolete()  # type: ignore[misc]

    def is_usable(self) -> bool:
        """Whether the connection can serve. Without its replica, it still can what runs on the primary."""
        own, connection = self.opened_with, self.connection
        if own is not None and not connection.closed:
            if was_lost(connection):
                return not own.connector.is_past_use(connection)
            if connection.get_transaction_status() == ext.TRANSACTION_STATUS_IDLE:
                return _is_answered(connection)
        return bool(super().is_usable())  # type: ignore[misc]  # in a transaction, which may have failed


def _is_answered(connection: Any) -> bool:
    """Whether the server that a connection leads to answers."""
    try:
        ping(connection)
    except psycopg2.Error:
        return False
    return True
