"""Bytes that claim to be an exception make none but of a class that may be raised."""

from __future__ import annotations

import sys
import traceback
from typing import Any

import msgspec
import pytest

from fly_orm import errors
from fly_orm.codec import CodecError, decode, decode_error
from tests.codec import raising


def node(reference: str, *args: Any, fields: Any = (), attributes: Any = ()) -> bytes:
    parts = [27, reference, "Name", "text", [1, *args], [4, *fields], [4, *attributes], [0], [0], None, False]
    return msgspec.msgpack.encode(parts)


FORGED = [
    node("module:builtins:SystemExit", 1),
    node("module:builtins:KeyboardInterrupt"),
    node("module:builtins:StopIteration"),
    node("module:builtins:BaseExceptionGroup", "x"),
    node("module:builtins:eval", "1"),
    node("module:builtins:int", "1"),
    node("module:builtins:nothing"),
    node("module:os:system", "true"),
    node("module:subprocess:CalledProcessError", 1, "x"),
    node("module:fly_orm.errors:NotDelivered", "x"),
    node("module:psycopg2.nothing:Error"),
    node("module:peewee:Model"),
    node("module::"),
    node("nothing"),
    node(f"type:{raising.__name__}:Unregistered"),
    node("peewee:os:path"),
    node("module:builtins:UnicodeDecodeError"),
    node("module:builtins:UnicodeDecodeError", fields=["encoding", 1, "object", 2, "start", 3, "end", 4, "reason", 5]),
    node("module:builtins:SyntaxError", fields=["text", 5, "lineno", 1]),
    node("module:builtins:SyntaxError", fields=["text", "x", "lineno", "1"]),
    node("module:psycopg2:Error", fields=["diagnostics", 5]),
    node("module:psycopg2:Error", fields=["driver_class", "Nope", "message", 1]),
    node("module:builtins:ExceptionGroup", "no members"),
    node("module:builtins:ValueError", attributes=[1, 2]),
]


@pytest.mark.parametrize("data", FORGED)
def test_a_forged_class_is_never_made(data):
    copy = decode_error(data)
    assert (type(copy), copy.class_name) == (errors.RemoteError, "Name")
    with pytest.raises(CodecError):
        decode(data)


def test_fields_cannot_be_forged_into_something_that_fails_when_it_is_shown():
    fields = ["errno", "x", "strerror", b"y", "filename", [0]]
    copy = decode_error(node("module:builtins:OSError", fields=fields, attributes=["__class__", 5, "__notes__", 7]))
    assert traceback.format_exception_only(type(copy), copy)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        *map(msgspec.msgpack.encode, [1, "x", [], [0], [27], [28], [True] * 6, {"a": 1}, [28, 1, "", [0], None, 0]]),
    ],
)
def test_what_is_no_exception_is_a_codec_error(data):
    with pytest.raises(CodecError):
        decode_error(data)


def test_no_module_is_imported_for_a_class():
    assert "pony.orm.integration" not in sys.modules
    decode_error(node("module:pony.orm.integration:Error"))
    assert "pony.orm.integration" not in sys.modules
