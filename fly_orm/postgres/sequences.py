"""Whether pooled connections keep what their Postgres sessions know of sequences from one caller to the next.

DISCARD SEQUENCES makes ``currval()`` and ``lastval()`` fail for a caller that has not called ``nextval()``, instead of
returning what another caller got. But it also throws away the values that a session has reserved of a sequence with
CACHE (Postgres manual, CREATE SEQUENCE), so that each caller would leave a gap of that size.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from ..deadline import now

DISCARD = b"DISCARD SEQUENCES"
#: Seconds for which fly_orm believes that no definition in the database uses these functions. Definitions rarely
#: change.
DEFINITIONS_TTL = 10.0
_USE = re.compile(rb"(?:curr|last)val", re.IGNORECASE)
_WITH_CACHE = "SELECT FROM pg_catalog.pg_sequence WHERE seqcache > 1 LIMIT 1"
# No caller's text shows the use of the functions in other functions, in defaults, and in views and rules.
_DEFINED_WITH_USE = """
    SELECT FROM pg_catalog.pg_proc
    WHERE pronamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
    AND coalesce(pg_catalog.pg_get_function_sqlbody(oid), prosrc) ~* '(curr|last)val'
    UNION ALL SELECT FROM pg_catalog.pg_attrdef WHERE pg_catalog.pg_get_expr(adbin, adrelid) ~* '(curr|last)val'
    UNION ALL SELECT FROM pg_catalog.pg_rewrite JOIN pg_catalog.pg_class relation ON relation.oid = ev_class
    WHERE relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
    AND pg_catalog.pg_get_ruledef(pg_rewrite.oid) ~* '(curr|last)val'
    LIMIT 1"""


class Sequences:
    """What one database's connections do with them. They are kept only where that saves something. Thread-safe."""

    def __init__(self) -> None:
        self._used = False
        """Whether a caller uses these functions; from then on nothing is kept."""
        self._may_be_kept = False
        self._look_at = 0.0

    @property
    def are_kept(self) -> bool | None:
        """Whether a connection keeps them; None if :meth:`look` has to find out before."""
        if self._used or not self._may_be_kept:  # not to keep them does no harm
            return False
        return True if self.are_known else None

    @property
    def are_known(self) -> bool:
        """Whether :meth:`look` has nothing to do."""
        return now() < self._look_at

    def look(self, connection: Any) -> None:
        """Ask the server of a connection, which is idle, unless that was done not long ago."""
        if not self.are_known:
            self._may_be_kept = _finds(connection, _WITH_CACHE) and not _finds(connection, _DEFINED_WITH_USE)
            self._look_at = now() + DEFINITIONS_TTL

    def note(self, sqls: Iterable[bytes]) -> bool:
        """Whether these statements use the functions, as far as their text shows."""
        uses = any(_USE.search(sql) for sql in sqls)
        self._used = self._used or uses
        return uses


def _finds(connection: Any, query: str) -> bool:
    """Whether a query returns a row."""
    with connection.cursor() as cursor:
        cursor.execute(query)
        return bool(cursor.rowcount)
