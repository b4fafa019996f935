"""What an exception holds outside of its ``__dict__``, and how one is made with it without running its ``__init__``."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from types import BuiltinMethodType
from typing import Any

import msgspec
import psycopg2

from ..postgres.sql_error import describe, rebuild
from ..protocol.messages import SQLError
from .tree import expect
from .unsupported import CodecError

_SYNTAX_TEXTS = ("msg", "filename", "text")
_UNICODE = ("encoding", "object", "start", "end", "reason")
#: The fields that classes written in C have. An AttributeError's ``obj`` stays where it is.
_FIELDS: dict[type, tuple[str, ...]] = {
    OSError: ("errno", "strerror", "filename", "filename2", "characters_written"),
    ImportError: ("msg", "name", "path", "name_from"),
    AttributeError: ("name",),
    NameError: ("name",),
    SyntaxError: (*_SYNTAX_TEXTS, "lineno", "offset", "end_lineno", "end_offset"),
    UnicodeEncodeError: _UNICODE,
    UnicodeDecodeError: _UNICODE,
    UnicodeTranslateError: _UNICODE[1:],
}
_UNICODE_ERRORS: tuple[Any, ...] = (UnicodeEncodeError, UnicodeDecodeError, UnicodeTranslateError)
_GROUP: Any = getattr(builtins, "BaseExceptionGroup", ())  # Python 3.11


def raw(error: BaseException, attribute: str) -> Any:
    """An attribute that every exception has, whatever its class makes of the name."""
    return BaseException.__dict__[attribute].__get__(error)


def set_raw(error: BaseException, attribute: str, value: Any) -> None:
    """Set an attribute that every exception has, whatever its class makes of the name."""
    BaseException.__dict__[attribute].__set__(error, value)


def args_of(error: BaseException) -> tuple[Any, ...]:
    """The arguments of an exception, without the exceptions in a group."""
    args: tuple[Any, ...] = raw(error, "args")
    return args[:1] if isinstance(error, _GROUP) else args


def members_of(error: BaseException) -> tuple[BaseException, ...]:
    """The exceptions in a group; none of any other exception."""
    if not isinstance(error, _GROUP):
        return ()
    members: tuple[BaseException, ...] = _GROUP.__dict__["exceptions"].__get__(error)
    return members


def fields_of(error: BaseException) -> dict[str, Any]:
    """What an exception holds in C, by name."""
    if isinstance(error, psycopg2.Error):
        fields: dict[str, Any] = msgspec.to_builtins(describe(error))
        return fields
    found = {}
    for name, descriptor in _descriptors(type(error)):
        try:
            value = descriptor.__get__(error)
        except (AttributeError, TypeError):
            continue  # it has not been set
        if value is not None:
            found[name] = value
    return found


def attributes_of(error: BaseException) -> dict[str, Any]:
    """The attributes of an exception that somebody has set, without its notes."""
    attributes: dict[str, Any] = raw(error, "__dict__")
    ours = ("__notes__", "diag", "described", "cursor") if isinstance(error, psycopg2.Error) else ("__notes__",)
    return {name: value for name, value in attributes.items() if name not in ours}


def make(cls: type[Exception], args: tuple[Any, ...], fields: Mapping[str, Any], members: list[Any]) -> Exception:
    """An exception of a class, with its arguments, fields and members."""
    if issubclass(cls, psycopg2.Error):
        error: Any = _make_driver_error(cls, fields)
    elif _GROUP and issubclass(cls, _GROUP):
        error, args = _new(cls, *args, members), (*args, members)
    else:
        error = _new(cls)
        _set_fields(error, fields)
    set_raw(error, "args", args)
    if not isinstance(error, cls):
        raise CodecError(f"{cls.__name__} cannot be made")
    return error


def _new(cls: type, *args: Any) -> Any:
    """An instance by the first constructor that is written in C."""
    for base in cls.__mro__:
        new = base.__dict__.get("__new__")
        if isinstance(new, BuiltinMethodType):
            return new(cls, *args)
    raise CodecError(f"{cls.__name__} cannot be made")


def _make_driver_error(cls: type[Exception], fields: Mapping[str, Any]) -> Any:
    described = msgspec.convert(dict(fields), SQLError)
    if described.diagnostics:
        return rebuild(described, cls)
    error = _new(cls)
    set_state: Any = psycopg2.Error.__setstate__
    set_state(error, {"pgcode": described.sqlstate, "pgerror": described.text})
    return error


def _set_fields(error: BaseException, fields: Mapping[str, Any]) -> None:
    if isinstance(error, UnicodeError):
        base = next((base for base in _UNICODE_ERRORS if isinstance(error, base)), None)
        if base is not None:  # its own __init__ checks what str() relies on
            base.__init__(error, *(fields[name] for name in _FIELDS[base]))
        return
    for name, descriptor in _descriptors(type(error)):
        if name in fields:
            if isinstance(error, SyntaxError):  # what shows one relies on the types
                expect(fields[name], str if name in _SYNTAX_TEXTS else int)
            descriptor.__set__(error, fields[name])


def _descriptors(cls: type) -> list[tuple[str, Any]]:
    return [
        (name, base.__dict__[name])
        for base, names in _FIELDS.items()
        if issubclass(cls, base)
        for name in names
        if name in base.__dict__
    ]
