"""Parameters that are SQL themselves, such as ``AsIs("nextval('s')")``, and so part of what has to be classified.

Most parameters become literals, whatever their values are. That is known of their types, so that it costs next to
nothing. Of others, what the driver makes of them is looked at.
"""

from __future__ import annotations

import decimal
from collections.abc import Mapping, Sequence
from typing import Any

from psycopg2 import extensions as ext
from psycopg2 import extras

from ..classify import Statement
from ..classify.values import is_value
from .batches import taken

#: Adapters that make literals of any value.
_QUOTING = frozenset(
    {
        *(ext.Binary, ext.Boolean, ext.Float, ext.Int, ext.NoneAdapter, ext.QuotedString),
        *(ext.DateFromPy, ext.TimeFromPy, ext.TimestampFromPy, ext.IntervalFromPy),
        *(extras.Json, extras.HstoreAdapter, extras.UUID_adapter, extras.Inet),
    }
)
#: The types of parameters that become literals. An adapter that is registered for one of them later on is trusted.
PLAIN = frozenset(
    {
        *(kind for (kind, _), adapter in ext.adapters.items() if adapter in _QUOTING),
        *(decimal.Decimal, ext.Binary, ext.QuotedString, extras.Json),
        *(extras.NumericRange, extras.DateRange, extras.DateTimeRange, extras.DateTimeTZRange),
    }
)
#: What the parameters of a statement may be in, besides a dict.
SEQUENCES = frozenset({tuple, list})
_PLACE = ext.AsIs("%s")


def statement_with(cursor: Any, query: Any, vars_: Any) -> Statement | None:
    """The classification of a statement with the parameters that are SQL; None if there is no such parameter.

    Raises what the driver raises for parameters that it cannot bind.
    """
    try:
        text = _text(cursor, query, vars_)
    except BaseException:
        cursor.show_nothing(query)
        raise
    if text is None:
        return None
    classified: Statement = cursor.connection.router.classify.once(text, cursor.connection)
    return classified


def statement_of_rows(cursor: Any, query: Any, rows: Sequence[Any]) -> Statement | None:
    """The same for ``executemany()``, whose statements count as one string."""
    unlike = (row for row in rows if row is not None and not _are_plain(row))
    texts, _ = taken(_text(cursor, query, row) for row in unlike)  # those that cannot be bound end the execution
    found = [text for text in texts if text is not None]
    if not found:
        return None
    classified: Statement = cursor.connection.router.classify.once(";".join(dict.fromkeys(found)), cursor.connection)
    return classified


def _are_plain(vars_: Any) -> bool:
    values = vars_.values() if type(vars_) is dict else vars_ if type(vars_) in SEQUENCES else (vars_,)
    return PLAIN.issuperset(map(type, values))


def _text(cursor: Any, query: Any, vars_: Any) -> str | None:
    """The text to classify, in which a placeholder stays for each parameter that is none of SQL."""
    shown: Any
    if type(vars_) is dict:
        shown = {name: _shown(value, cursor.connection) for name, value in vars_.items()}
        raw = any(each is not _PLACE for each in shown.values())
    elif isinstance(vars_, Sequence):
        shown = [_shown(value, cursor.connection) for value in vars_]
        shown = tuple(shown) if isinstance(vars_, tuple) else shown  # the driver's errors name it
        raw = any(each is not _PLACE for each in shown)
    else:  # only the driver knows which items it needs
        shown, raw = vars_, hasattr(vars_, "__getitem__") and not _has_plain_items(vars_)
    if not raw:
        return None
    bound: bytes = cursor.mogrify(query, shown)
    return bound.decode(ext.encodings[cursor.connection.encoding], "replace")


def _has_plain_items(vars_: Any) -> bool:
    return isinstance(vars_, Mapping) and not hasattr(vars_, "__missing__") and _are_plain(list(vars_.values()))


def _shown(value: Any, connection: Any) -> ext.AsIs:
    if _is_literal(value):
        return _PLACE
    adapted: Any = ext.adapt(value)
    if hasattr(adapted, "prepare"):
        adapted.prepare(connection)
    text = adapted.getquoted()
    text = text.decode(ext.encodings[connection.encoding], "replace") if isinstance(text, bytes) else text
    return _PLACE if is_value(text) else ext.AsIs(text)


def _is_literal(value: Any) -> bool:
    """Whether a value is known to become a literal, or a list of them, without a look at what it becomes."""
    kind = type(value)
    if kind in SEQUENCES:
        return all(map(_is_literal, value))
    return kind in PLAIN or ext.adapters.get((kind, ext.ISQLQuote)) in _QUOTING
