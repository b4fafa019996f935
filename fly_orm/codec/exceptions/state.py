"""What an exception contains, and how one is created with it without calling its ``__init__``."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from types import BuiltinMethodType
from typing import Any

import msgspec
import psycopg2

from ...postgres.sql_error import describe, rebuild
from ...protocol.messages import SQLError
from ..errors import CodecError
from ..nodes import expect

_SYNTAX_TEXTS = ("msg", "filename", "text")
_UNICODE = ("encoding", "object", "start", "end", "reason")
#: The fields of classes that are written in C. An AttributeError's ``obj`` stays behind.
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


def base_attribute(error: BaseException, name: str) -> Any:
    """An attribute of BaseException, even if the class of the exception defines something else under its name."""
    return BaseException.__dict__[name].__get__(error)


def set_base_attribute(error: BaseException, name: str, value: Any) -> None:
    """Set an attribute of BaseException, even if the class of the exception defines something else under its name."""
    BaseException.__dict__[name].__set__(error, value)


def args_of(error: BaseException) -> tuple[Any, ...]:
    """The args of an exception, without the members of a group."""
    args: tuple[Any, ...] = base_attribute(error, "args")
    return args[:1] if isinstance(error, _GROUP) else args


def members_of(error: BaseException) -> tuple[BaseException, ...]:
    """The exceptions in an exception group. Other exceptions have none."""
    if not isinstance(error, _GROUP):
        return ()
    members: tuple[BaseException, ...] = _GROUP.__dict__["exceptions"].__get__(error)
    return members


def fields_of(error: BaseException) -> dict[str, Any]:
    """The fields that an exception holds in C, by name."""
    if isinstance(error, psycopg2.Error):
        fields: dict[str, Any] = msgspec.to_builtins(describe(error))
        return fields
    fields = {}
    for name, descriptor in _descriptors(type(error)):
        try:
            value = descriptor.__get__(error)
        except (AttributeError, TypeError):
            continue  # the field was never set
        if value is not None:
            fields[name] = value
    return fields


def attributes_of(error: BaseException) -> dict[str, Any]:
    """The attributes in the ``__dict__`` of an exception, without its notes."""
    attributes: dict[str, Any] = base_attribute(error, "__dict__")
    ours = ("__notes__", "diag", "described", "cursor") if isinstance(error, psycopg2.Error) else ("__notes__",)
    return {name: value for name, value in attributes.items() if name not in ours}


def instantiate(
    cls: type[Exception], args: tuple[Any, ...], fields: Mapping[str, Any], members: list[Any]
) -> Exception:
    """A new exception of a class, with these args, fields and members of a group."""
    if issubclass(cls, psycopg2.Error):
        error: Any = _new_driver_error(cls, fields)
    elif _GROUP and issubclass(cls, _GROUP):
        error, args = _new(cls, *args, members), (*args, members)
    else:
        error = _new(cls)
        _set_fields(error, fields)
    set_base_attribute(error, "args", args)
    if not isinstance(error, cls):
        raise CodecError(f"{cls.__name__} cannot be instantiated")
    return error


def _new(cls: type, *args: Any) -> Any:
    """An instance that the first ``__new__`` written in C returns."""
    for base in cls.__mro__:
        new = base.__dict__.get("__new__")
        if isinstance(new, BuiltinMethodType):
            return new(cls, *args)
    raise CodecError(f"{cls.__name__} cannot be instantiated")


def _new_driver_error(cls: type[Exception], fields: Mapping[str, Any]) -> Any:
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
        if base is not None:  # its __init__, written in C, checks the types that str() relies on
            base.__init__(error, *(fields[name] for name in _FIELDS[base]))
        return
    for name, descriptor in _descriptors(type(error)):
        if name in fields:
            if isinstance(error, SyntaxError):  # formatting its traceback relies on these types
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
