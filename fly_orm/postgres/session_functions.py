"""What functions may change in the Postgres session, found in their definitions."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from ..classify import SessionChange
from ..classify.function_bodies import Examined, examine
from ..classify.session_change import ACTS_OUTSIDE, NOTHING, UNTIL_END, changes_for_now, may_change_anything

#: How deep functions that call functions are followed.
_DEEPEST = 20

# Of Postgres' own functions, classify.known_functions knows those that matter. Those of extensions are trusted. A
# function that is not volatile promises to change nothing, but Postgres does not hold it to that, nor those it calls.
_DEFINITIONS = """
    SELECT lower(proname), lanname,
        CASE WHEN NOT trusted THEN source END,
        CASE WHEN provolatile = 'v' OR source ~* 'set_config|advisory|setseed|dblink' THEN 'changes' END,
        (SELECT string_agg(lower(split_part(setting, '=', 1)), ',') FROM unnest(proconfig) AS config (setting)),
        CASE WHEN 'refcursor'::regtype = ANY (prorettype || proallargtypes) AND NOT trusted THEN 'cursor' END
    FROM (
        SELECT p.*, lanname, coalesce(pg_get_function_sqlbody(p.oid), prosrc) AS source,
            nspname IN ('pg_catalog', 'information_schema') OR EXISTS (
                SELECT FROM pg_depend part
                WHERE part.classid = 'pg_proc'::regclass AND part.objid = p.oid AND part.deptype = 'e'
            ) AS trusted
        FROM pg_proc p JOIN pg_language l ON l.oid = prolang JOIN pg_namespace n ON n.oid = pronamespace
        WHERE lower(proname) = ANY (%s)
    ) p"""
# Where the database itself reads a custom setting, its name is a literal.
_CUSTOM_SETTINGS = r"""
    SELECT DISTINCT lower(found[1]) FROM (
        SELECT prosrc FROM pg_proc p WHERE pronamespace <> 'pg_catalog'::regnamespace
        UNION ALL SELECT pg_get_expr(polqual, polrelid) FROM pg_policy
        UNION ALL SELECT pg_get_expr(polwithcheck, polrelid) FROM pg_policy
        UNION ALL SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef
        UNION ALL SELECT definition FROM pg_views WHERE schemaname NOT IN ('pg_catalog', 'information_schema')
    ) AS code (source), regexp_matches(source, 'current_setting\s*\(\s*''([^'']+\.[^'']+)''', 'gi') AS found"""


class Definition(NamedTuple):
    """What the functions of one name may do by themselves."""

    change: SessionChange
    calls: frozenset[str]


def read_definitions(cursor: Any, names: Collection[str]) -> dict[str, Definition]:
    """The functions of these names, in lower case, and those that they call, by name.

    A name that is missing in the result is that of no function here. ``cursor`` returns text.
    """
    found: dict[str, Definition] = {}
    wanted = frozenset(names)
    for _ in range(_DEEPEST):
        if not wanted:
            return found
        read = _read(cursor, wanted)
        found.update(read)
        called = frozenset[str]().union(*(definition.calls for definition in read.values()))
        wanted = called - found.keys() - wanted
    return {name: Definition(may_change_anything(""), frozenset()) for name in found}


def _read(cursor: Any, names: Collection[str]) -> dict[str, Definition]:
    found: dict[str, Definition] = {}
    cursor.execute(_DEFINITIONS, (list(names),))
    for name, language, source, changes, config, returned in cursor.fetchall():
        examined = Examined(NOTHING, frozenset()) if source is None else examine(source, language)
        change = (
            (examined.change if changes else NOTHING)
            | changes_for_now((config or "").split(","))
            | (UNTIL_END if returned else NOTHING)
        )
        known = found.get(name, Definition(NOTHING, frozenset()))
        found[name] = Definition(known.change | change, known.calls | examined.calls)
    return found


def change_of(
    name: str,
    definitions: Mapping[str, Definition],
    named: Mapping[str, SessionChange],
    outside: Collection[str],
) -> SessionChange:
    """What the functions of a name may change, those that they call included.

    ``named`` says so of functions whose definitions need not be looked at. Those in ``outside`` act outside of the
    database, too.
    """
    change, seen, left = NOTHING, set[str](), [name]
    while left:
        if (next_name := left.pop()) in seen:
            continue
        seen.add(next_name)
        if next_name in outside:
            change |= ACTS_OUTSIDE
        if next_name in named:
            change |= named[next_name]
        elif definition := definitions.get(next_name):
            change |= definition.change
            left.extend(definition.calls)
    return change


def read_custom_settings(cursor: Any) -> frozenset[str]:
    """The names, in lower case, of the custom settings that the definitions of a database read."""
    cursor.execute(_CUSTOM_SETTINGS)
    return frozenset(name for (name,) in cursor.fetchall())
