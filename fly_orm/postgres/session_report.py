"""What a Postgres session holds: the settings that were made in it, and what else it has."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

# Of a role, the session that serves another one has its own. A transaction's modes end with it. Everything is asked
# outside of a transaction, where SET LOCAL has no effect any more.
_OWN = "'client_encoding', 'role', 'session_authorization', 'is_superuser'"
# A custom setting is not listed in pg_settings, unless a loaded module has declared it.
_SETTINGS = f"""
    SELECT lower(name), setting FROM pg_settings
    WHERE source = 'session' AND (%(anything)s OR lower(name) = ANY (%(names)s))
    AND name NOT IN ({_OWN}) AND name NOT LIKE 'transaction\\_%%'
    UNION
    SELECT name, current_setting(name, true) FROM unnest(%(names)s::text[]) AS wanted (name) WHERE name LIKE '%%.%%'
"""  # noqa: S608  # the only part is a constant
_HAS_STATE = """
    SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid())
        OR EXISTS (SELECT FROM pg_class WHERE relnamespace = pg_my_temp_schema())
        OR EXISTS (SELECT FROM pg_prepared_statements)
        OR EXISTS (SELECT FROM pg_cursors WHERE is_holdable)"""
_HAS_LOCKS = "SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"


def read_settings(cursor: Any, names: Collection[str], *, anything: bool) -> dict[str, Any]:
    """The settings of these names as the session has them, and with ``anything`` all others that were made in it.

    None stands for a setting that nothing in the session has changed, or no longer. To be asked outside of a
    transaction. Values are what the cursor returns for text.
    """
    found: dict[str, Any] = dict.fromkeys(names)
    cursor.execute(_SETTINGS, {"names": list(names), "anything": anything})
    for name, value in cursor.fetchall():
        found[name.decode() if isinstance(name, bytes) else name] = value
    return found


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
        cursor.execute("SELECT pg_advisory_unlock_all()")
    return held
