"""What a Postgres session holds: the settings that were made in it, and what else it has."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from psycopg2 import errors
from psycopg2 import extensions as ext

# The client encoding belongs to the driver, and a transaction's modes end with it. Everything is asked outside of a
# transaction, where SET LOCAL has no effect any more.
#
# Names and values come in hexadecimal digits, as the server has them: the client encoding may lack their characters.
_SETTINGS = """
    SELECT pg_catalog.encode(pg_catalog.convert_to(name, pg_catalog.getdatabaseencoding()), 'hex'),
        pg_catalog.encode(pg_catalog.convert_to(value, pg_catalog.getdatabaseencoding()), 'hex')
    FROM ("""
_LISTED = """
        SELECT pg_catalog.lower(name) AS name, setting AS value FROM pg_catalog.pg_settings
        WHERE source = 'session' AND (%(anything)s OR pg_catalog.lower(name) = ANY (%(names)s))
        AND name NOT IN ('client_encoding', 'is_superuser') AND pg_catalog.left(name, 12) <> 'transaction_'
        UNION ALL"""
_HIDDEN = """
        SELECT name, pg_catalog.current_setting(name, true) FROM pg_catalog.unnest(%(hidden)s::text[]) AS wanted (name)
    ) AS found (name, value)"""
#: A custom setting is not listed in pg_settings, unless a loaded module has declared it, and these never are.
_NEVER_LISTED = frozenset({"role", "session_authorization"})
_TIMEOUT = "statement_timeout"
_ATTEMPTS = 5
_HAS_STATE = """
    SELECT EXISTS (SELECT FROM pg_catalog.pg_locks
            WHERE locktype = 'advisory' AND pid = pg_catalog.pg_backend_pid())
        OR EXISTS (SELECT FROM pg_catalog.pg_depend
            WHERE refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass
            AND refobjid = pg_catalog.pg_my_temp_schema())
        OR EXISTS (SELECT FROM pg_catalog.pg_prepared_statements)
        OR EXISTS (SELECT FROM pg_catalog.pg_cursors WHERE is_holdable)"""
_HAS_LOCKS = "SELECT FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND pid = pg_catalog.pg_backend_pid()"


def read_settings(cursor: Any, names: Iterable[str], *, anything: bool) -> dict[str, str | None]:
    """The settings of these names as the session has them, and with ``anything`` all others that were made in it.

    None stands for a setting that nothing in the session has changed, or no longer. To be asked outside of a
    transaction. A value is text in the encoding of the database; see :func:`decoded`.
    """
    wanted = dict.fromkeys(names)
    try:
        return _read(cursor, wanted, anything=anything)
    except errors.QueryCanceled:  # by a statement_timeout that the session has made, so that no look at it succeeds
        timeout = _read_timeout(cursor) if anything or _TIMEOUT in wanted else None
        wanted.pop(_TIMEOUT, None)
        found = _read(cursor, wanted, anything=anything, prefix=f"SET LOCAL {_TIMEOUT} TO 0; ")
        return {**found, _TIMEOUT: timeout} if anything or timeout is not None else found


def _read(cursor: Any, names: Collection[str], *, anything: bool, prefix: str = "") -> dict[str, str | None]:
    hidden = [name for name in names if "." in name or name in _NEVER_LISTED]
    if anything:
        hidden = [*dict.fromkeys([*hidden, *sorted(_NEVER_LISTED)])]
    listed = _LISTED if anything or len(hidden) < len(names) else ""
    parameters = {"names": list(names), "hidden": hidden, "anything": anything}
    cursor.execute(f"{prefix}{_SETTINGS}{listed}{_HIDDEN}", parameters)
    encoding = cursor.connection.get_parameter_status("server_encoding")
    found: dict[str, str | None] = dict.fromkeys(names)
    for name, value in cursor.fetchall():
        found[decoded(_bytes(name), encoding)] = None if value is None else decoded(_bytes(value), encoding)
    return found


def _read_timeout(cursor: Any) -> str:
    """The statement_timeout, although statements are cancelled early because of it."""
    for attempt in range(_ATTEMPTS):
        try:
            cursor.execute(f"SHOW {_TIMEOUT}")
            break
        except errors.QueryCanceled:
            if attempt == _ATTEMPTS - 1:
                raise
    value = cursor.fetchone()[0]
    return value.decode() if isinstance(value, bytes) else str(value)


def _bytes(digits: bytes | str) -> bytes:
    return bytes.fromhex(digits.decode() if isinstance(digits, bytes) else digits)


def decoded(value: bytes, server_encoding: str) -> str:
    """Text in the encoding of a database; :func:`encoded` returns the same bytes again, whatever they are."""
    return value.decode(ext.encodings.get(server_encoding, "ascii"), "surrogateescape")


def encoded(value: str, server_encoding: str) -> bytes:
    """The bytes of a text in the encoding of a database."""
    return value.encode(ext.encodings.get(server_encoding, "ascii"), "surrogateescape")


def assignment(name: str, value: str, server_encoding: str) -> str:
    """An expression in ASCII that gives a session setting a value, whatever the settings of the session are.

    It does not return the value, for which the client encoding may lack characters.
    """
    literals = ", ".join(f"E'{_escaped(encoded(text, server_encoding))}'" for text in (name, value))
    return f"pg_catalog.set_config({literals}, false) IS NULL"


def _escaped(value: bytes) -> str:
    return "".join(chr(byte) if 31 < byte < 127 and byte not in b"'\\" else f"\\x{byte:02x}" for byte in value)


def has_state(cursor: Any) -> bool:
    """Whether the session has locks, temporary objects, prepared statements or cursors that outlive a transaction."""
    cursor.execute(_HAS_STATE)
    found: bool = cursor.fetchone()[0] in (True, b"t")
    return found


def release_locks(cursor: Any) -> bool:
    """Release the session-level advisory locks; whether there were any."""
    cursor.execute(_HAS_LOCKS)
    held: bool = cursor.rowcount > 0
    if held:
        cursor.execute("SELECT pg_catalog.pg_advisory_unlock_all()")
    return held
