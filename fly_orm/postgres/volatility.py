"""Whether a query may write although it looks like a read, because a function that it calls may."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

# Every function that is not immutable counts, and every aggregate, since its own volatility says nothing about that of
# its transition function. The second part looks for such functions behind views, row security policies, operators and
# casts, which the text of a query does not show. Those that an extension has brought along are trusted.
_MAY_WRITE = """
    WITH writer AS (
        SELECT oid, proname FROM pg_proc WHERE (provolatile <> 'i' OR prokind = 'a')
        AND pronamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
    )
    SELECT EXISTS (SELECT FROM writer WHERE lower(proname) = ANY (%s)) OR EXISTS (
        SELECT FROM writer JOIN pg_depend used ON used.refclassid = 'pg_proc'::regclass AND used.refobjid = writer.oid
        WHERE used.classid = ANY ('{pg_rewrite, pg_policy, pg_operator, pg_cast}'::regclass[])
        AND NOT EXISTS (
            SELECT FROM pg_depend part
            WHERE part.classid = 'pg_proc'::regclass AND part.objid = writer.oid AND part.deptype = 'e'
        )
    )"""


def reads_may_write(cursor: Any, function_names: Iterable[str]) -> bool:
    """Whether queries that call functions of these names, in lower case, may write.

    A volatile function may write, and so may any function that calls one (Postgres manual, section "Function Volatility
    Categories"). A query calls it by name, or through a view, a row security policy, an operator or a cast. Postgres'
    own functions do not count here: :mod:`fly_orm.classify` knows those that write.

    ``cursor`` returns bytes.
    """
    cursor.execute(_MAY_WRITE, (list(function_names),))
    found: bool = cursor.fetchone()[0] == b"t"
    return found
