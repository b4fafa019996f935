"""The table that is the ledger, and the SQL that makes it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from psycopg2 import errors

from ..errors import Refused
from ..postgres.cursors import text_cursor
from ..protocol import reasons

#: With its schema, since sessions have search paths of their own.
TABLE = "public.fly_orm_ledger"
_NAME = "fly_orm_ledger"
_UNUSABLE = (errors.UndefinedTable, errors.InsufficientPrivilege, errors.UndefinedColumn)

_CREATE = f"""\
CREATE TABLE IF NOT EXISTS {TABLE} (
    key text PRIMARY KEY,
    operation text,
    what text,
    asked text,
    session text,
    result bytea,
    voided boolean NOT NULL DEFAULT false,
    role name NOT NULL DEFAULT current_user,
    executed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX IF NOT EXISTS fly_orm_ledger_requests ON {TABLE} (executed_at) WHERE what IS NULL;
CREATE INDEX IF NOT EXISTS fly_orm_ledger_operations ON {TABLE} (executed_at) WHERE what IS NOT NULL;
ALTER TABLE {TABLE} ENABLE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS own_rows ON {TABLE};
CREATE POLICY own_rows ON {TABLE} USING (role = current_user) WITH CHECK (role = current_user);
DROP POLICY IF EXISTS voided_rows ON {TABLE};
CREATE POLICY voided_rows ON {TABLE} FOR SELECT USING (voided);
"""


def create_sql(roles: Iterable[str] = ()) -> str:
    """The SQL that makes the table, unless it exists, and lets these roles use it besides its owner.

    Each of them sees its own rows, and which requests were voided by others.
    """
    grants = (f'GRANT SELECT, INSERT, UPDATE ON {TABLE} TO "{role.replace(chr(34), chr(34) * 2)}";\n' for role in roles)
    return _CREATE + "".join(grants)


def check_exists(connection: Any) -> None:
    """Raise Refused unless the database of a driver connection has a ledger."""
    with text_cursor(connection) as cursor:
        cursor.execute(f"SELECT pg_catalog.to_regclass('{TABLE}')::text")
        if cursor.fetchone()[0] is None:
            raise Refused(_refusal(f"there is no table {TABLE}"), reason=reasons.NO_LEDGER)


def check_usable(error: Exception, role: str = "") -> None:
    """Raise Refused if an error of a transaction, which was rolled back, means that the ledger cannot be written.

    ``role`` is the one that the transaction's connection has logged in as, if that is known.
    """
    if isinstance(error, _UNUSABLE) and _NAME in str(error):
        lacking = role if isinstance(error, errors.InsufficientPrivilege) else ""
        raise Refused(_refusal(str(error).strip(), lacking), reason=reasons.NO_LEDGER) from error


def concerns(error: Exception) -> bool:
    """Whether an error says that the ledger has a key already."""
    return isinstance(error, errors.UniqueViolation) and error.diag.table_name == _NAME


def _refusal(problem: str, lacking: str = "") -> str:
    """The message; ``lacking`` is a role without privileges on the table."""
    if lacking:
        what = f"--role {lacking}: it was executed as this role, as functions are executed as the role of their node"
    else:
        what = "--role ROLE for each role that writes and does not own the table"
    return (
        f"the ledger of this database, which exactly-once writes need, cannot be used: {problem}. Nothing was "
        f"executed. Run `fly-orm ledger create MODULE:ATTRIBUTE` in the primary region, with {what}"
    )
