"""Encodes what a function raised, and decodes it; as a RemoteError if nothing closer is possible."""

from __future__ import annotations

from functools import partial
from typing import Any

from ...errors import RemoteError
from .. import keys
from ..errors import CannotEncode, CodecError, with_codec_errors
from ..names import class_name, describe_error, error_text
from ..nodes import check_depth, expect, operands
from ..packing import bytes_to_node, node_to_bytes
from ..tags import ERROR, LIST, REMOTE
from .classes import reference_to
from .encoding import complete, decode_notes, decode_state, decode_text, encode_exception
from .portable import is_portable
from .state import base_attribute
from .tracebacks import notes_of, traceback_notes

#: How many exceptions a chain of causes may contain.
MAX_CHAIN = 20
#: An exception that takes more bytes than this is sent without its args and causes.
MAX_BYTES = 1024 * 1024
_LAST_RESORT = [REMOTE, "Exception", "(it could not be encoded)", [LIST], None, False]


def encode_error(error: BaseException) -> bytes:
    """The bytes that encode an exception. Never raises, whatever the exception does when it is read.

    An exception is sent as a RemoteError if its class must not be raised elsewhere or is not registered, or if its args
    cannot travel. Attributes that cannot travel are left out, and a note says so. Another note has the traceback.
    """
    for make_node in (partial(_encode, error, 0, frozenset()), partial(_encode_remote, error, (), None)):
        try:
            data = node_to_bytes(make_node())
        except BaseException:  # noqa: BLE001, S112  # an exception of an unknown class may do anything when it is read
            continue
        if len(data) <= MAX_BYTES:
            return data
    return node_to_bytes(_LAST_RESORT)


def decode_error(data: bytes) -> Exception:
    """The exception, to be raised; a RemoteError if this process does not know its class.

    Raises CodecError for bytes that do not encode an exception.
    """
    if len(data) > MAX_BYTES:
        raise CodecError(f"an exception was encoded in {len(data)} bytes, and {MAX_BYTES} are allowed")
    keys.begin()
    return with_codec_errors(lambda: _decode(bytes_to_node(data), 0))


def _encode(error: BaseException, depth: int, parents: frozenset[int]) -> list[Any]:
    notes = notes_of(error) + traceback_notes(error)
    parents |= {id(error)}

    def drop(name: str, why: CannotEncode) -> None:
        notes.append(f"It arrives without its attribute {name!r}: {why.path()}: {why.reason()}")

    def nested(other: BaseException, depth: int) -> Any:
        if id(other) in parents or len(parents) >= MAX_CHAIN:
            is_cause = other is base_attribute(error, "__cause__")
            return None if is_cause else _encode_remote(other, notes_of(other), None)
        return _encode(other, depth, parents)

    try:
        return encode_exception(error, depth, notes, nested, drop)
    except CannotEncode as why:
        cause = base_attribute(error, "__cause__")
        cause_node = None if cause is None else nested(cause, depth + 1)
        return _encode_remote(error, notes + _explain(error, why), cause_node)


def _explain(error: BaseException, why: CannotEncode) -> list[str]:
    """A note that says why a RemoteError arrives instead of the exception, if somebody can change that."""
    if not is_portable(type(error)):
        return []
    if reference_to(type(error)) is None:
        name = class_name(type(error))
        return [f"It arrives as a RemoteError because {name} is not registered with fly_orm.register_type."]
    return [f"It arrives as a RemoteError because of {why.path()}: {why.reason()}"]


def _encode_remote(error: BaseException, notes: Any, cause_node: Any) -> list[Any]:
    name, text = class_name(type(error)), error_text(error)
    if type(error) is RemoteError and type(error.class_name) is str and type(error.text) is str:
        name, text = error.class_name, error.text  # it was raised on a third node
    return [REMOTE, name, text, [LIST, *notes], cause_node, base_attribute(error, "__suppress_context__")]


def _decode(node: Any, depth: int) -> Exception:
    check_depth(depth)
    tag = node[0] if type(node) is list and node else None
    if type(tag) is not int or tag not in (ERROR, REMOTE):
        raise CodecError("these bytes do not encode an exception")
    return _decode_remote(node, depth) if tag == REMOTE else _decode_itself(node, depth)


def _decode_remote(node: list[Any], depth: int) -> Exception:
    name, text, notes, cause, suppress = operands(node, 5)
    error = _remote_error(decode_text(name, depth), decode_text(text, depth))
    return complete(error, decode_notes(notes, depth), _decode_cause(cause, depth), suppress)


def _decode_itself(node: list[Any], depth: int) -> Exception:
    parts = operands(node, 10)
    name, text = decode_text(parts[1], depth), decode_text(parts[2], depth)
    notes = decode_notes(parts[6], depth)
    member_nodes = expect(parts[7], list)
    if member_nodes[:1] != [LIST]:
        raise CodecError("the members of an exception group are not a list")
    members = [_decode(member, depth + 1) for member in member_nodes[1:]]
    cause = _decode_cause(parts[8], depth)
    try:
        error = decode_state(parts, members, depth + 1)
    except Exception as failure:  # noqa: BLE001  # a decode hook may raise anything, and some exception has to arrive
        error = _remote_error(name, text)
        notes.append(f"This process could not create the {name} that was raised: {describe_error(failure)}")
    return complete(error, notes, cause, parts[9])


def _decode_cause(node: Any, depth: int) -> Exception | None:
    return None if node is None else _decode(node, depth + 1)


def _remote_error(name: str, text: str) -> Exception:
    return RemoteError(f"{name}: {text}".removesuffix(": "), class_name=name, text=text)
