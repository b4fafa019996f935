"""Strategies for the values of a type that messages have."""

from __future__ import annotations

import types
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec
from hypothesis import strategies as st

from fly_orm.lsn import LSN, UNKNOWN_LSN

_SIMPLE: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text(max_size=8),
    bytes: st.binary(max_size=8),
    bool: st.booleans(),
    int: st.integers(-(2**63), 2**64 - 1),
    float: st.floats(0, 1e9),
    type(None): st.none(),
    LSN: st.integers(0, UNKNOWN_LSN).map(LSN),
}


@cache
def values_of(wanted: Any) -> st.SearchStrategy[Any]:
    """Any values of a type: a struct, one of several, or what the fields of structs are."""
    if wanted in _SIMPLE:
        return _SIMPLE[wanted]
    origin, arguments = get_origin(wanted), get_args(wanted)
    if origin is Annotated:
        return values_of(arguments[0])
    if origin in (Union, types.UnionType):
        return st.one_of([values_of(each) for each in arguments])
    if origin is list:
        return st.lists(values_of(arguments[0]), max_size=3)
    if origin is tuple:
        return st.tuples(*map(values_of, arguments)) if arguments[-1:] != (...,) else _tuples(arguments[0])
    if origin is dict:
        return st.dictionaries(*map(values_of, arguments), max_size=3)
    assert issubclass(wanted, msgspec.Struct), wanted
    return _structs(wanted)


def _tuples(item: Any) -> st.SearchStrategy[Any]:
    return st.lists(values_of(item), max_size=3).map(tuple)


def _structs(wanted: Any) -> st.SearchStrategy[Any]:
    """Instances in which any of the optional fields are given."""
    hints = get_type_hints(wanted, include_extras=True)
    fields = {field.name: values_of(hints[field.name]) for field in msgspec.structs.fields(wanted)}
    required = {field.name for field in msgspec.structs.fields(wanted) if field.required}
    given = st.fixed_dictionaries(
        {name: fields[name] for name in required},
        optional={name: strategy for name, strategy in fields.items() if name not in required},
    )
    return given.map(lambda values: wanted(**values))
