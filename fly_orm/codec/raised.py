"""Exceptions that a function raised on one node, to be raised on another: whatever they are, something arrives."""

from __future__ import annotations

from functools import partial
from typing import Any

from ..errors import RemoteError
from .classes import reference
from .errors import build, complete, notes_from, pack_error, text_from
from .facets import raw
from .kinds import ERROR, LIST, REMOTE
from .names import class_name, described, text_of
from .raisable import may_travel
from .traces import notes_of, trace_of
from .tree import check_depth, expect, operands
from .unsupported import CodecError, Refusal
from .values import guarded, to_bytes, to_tree

#: How many exceptions a chain of causes has, at most.
MAX_CHAIN = 20
#: An exception that is larger than this arrives without its arguments and causes.
MAX_BYTES = 1024 * 1024
_LAST_RESORT = [REMOTE, "Exception", "(it cannot be told)", [LIST], None, False]


def encode_error(error: BaseException) -> bytes:
    """The bytes that :func:`decode_error` makes an exception of. Never raises, whatever the exception does.

    What cannot be raised elsewhere, or has not been registered, is encoded as a RemoteError; so is what has arguments
    that cannot travel. Attributes that cannot travel are left out, and a note says so. Another note has the traceback.
    """
    for tree in (partial(_pack, error, 0, frozenset()), partial(_remote, error, (), None)):
        try:
            data = to_bytes(tree())
        except BaseException:  # noqa: BLE001, S112  # somebody's exception may do anything when it is looked at
            continue
        if len(data) <= MAX_BYTES:
            return data
    return to_bytes(_LAST_RESORT)


def decode_error(data: bytes) -> Exception:
    """The exception, ready to be raised; a RemoteError if its class is not known here. CodecError if it is none."""
    return guarded(lambda: _unpack(to_tree(data), 0))


def _pack(error: BaseException, depth: int, holders: frozenset[int]) -> list[Any]:
    notes = notes_of(error) + trace_of(error)
    holders |= {id(error)}

    def drop(name: str, refusal: Refusal) -> None:
        notes.append(f"It arrives without its attribute {name!r}: {refusal.path()}: {refusal.reason()}")

    def nested(other: BaseException, depth: int) -> Any:
        if id(other) in holders or len(holders) >= MAX_CHAIN:
            return _remote(other, notes_of(other), None) if other is not raw(error, "__cause__") else None
        return _pack(other, depth, holders)

    try:
        return pack_error(error, depth, notes, nested, drop)
    except Refusal as refusal:
        cause = raw(error, "__cause__")
        packed = None if cause is None else nested(cause, depth + 1)
        return _remote(error, notes + _why(error, refusal), packed)


def _why(error: BaseException, refusal: Refusal) -> list[str]:
    """The note that says why an exception arrives as a RemoteError, if that can be mended."""
    if not may_travel(type(error)):
        return []
    if reference(type(error)) is None:
        name = class_name(type(error))
        return [f"It arrives as a RemoteError because {name} is not registered with fly_orm.register_type."]
    return [f"It arrives as a RemoteError because of {refusal.path()}: {refusal.reason()}"]


def _remote(error: BaseException, notes: Any, cause: Any) -> list[Any]:
    name, text = class_name(type(error)), text_of(error)
    if type(error) is RemoteError and type(error.class_name) is str and type(error.text) is str:
        name, text = error.class_name, error.text  # it has come from further away
    return [REMOTE, name, text, [LIST, *notes], cause, raw(error, "__suppress_context__")]


def _unpack(node: Any, depth: int) -> Exception:
    check_depth(depth)
    kind = node[0] if type(node) is list and node else None
    if type(kind) is not int or kind not in (ERROR, REMOTE):
        raise CodecError("not an exception that fly_orm encoded")
    if kind == REMOTE:
        name, text, notes, cause, suppress = operands(node, 5)
        error: Exception = _remote_error(text_from(name, depth), text_from(text, depth))
        return complete(error, notes_from(notes, depth), _cause(cause, depth), suppress)
    parts = operands(node, 10)
    name, text = text_from(parts[1], depth), text_from(parts[2], depth)
    notes = notes_from(parts[6], depth)
    members = expect(parts[7], list)
    if members[:1] != [LIST]:
        raise CodecError("the members of a group are no list")
    found = [_unpack(member, depth + 1) for member in members[1:]]
    cause = _cause(parts[8], depth)
    try:
        error = build(parts, found, depth + 1)
    except Exception as failure:  # noqa: BLE001  # hooks are the application's; and some exception has to arrive
        error = _remote_error(name, text)
        notes.append(f"It arrived as {name}, of which this process could not make one: {described(failure)}")
    return complete(error, notes, cause, parts[9])


def _cause(node: Any, depth: int) -> Exception | None:
    return None if node is None else _unpack(node, depth + 1)


def _remote_error(name: str, text: str) -> RemoteError:
    return RemoteError(f"{name}: {text}".removesuffix(": "), class_name=name, text=text)
