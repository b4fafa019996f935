"""Exceptions as nodes, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..postgres.sql_error import looks_like
from .classes import reference, referred
from .containers import pack_attributes
from .facets import args_of, attributes_of, fields_of, make, members_of, raw, set_raw
from .kinds import DICT, ERROR, LIST
from .names import class_name, described, text_of
from .registry import BY_CLASS
from .shapes import Hooks
from .traces import notes_of
from .tree import PACKERS, Packer, deeper, expect, operands, pack, unpack
from .unsupported import CodecError, Refusal, cannot_travel

#: Makes a node of an exception that belongs to another, at a depth.
Nested = Callable[[BaseException, int], Any]
Drop = Callable[[str, Refusal], None]


def find_packer(cls: type) -> Packer | None:
    """What packs exceptions that are passed as values; None for a class of something else."""
    return pack_value if issubclass(cls, BaseException) else None


def pack_value(error: BaseException, depth: int) -> list[Any]:
    """The node of an exception that is passed as a value; Refusal if anything of it cannot travel."""
    return pack_error(error, depth, notes_of(error), pack)


def pack_error(
    error: BaseException, depth: int, notes: list[str], nested: Nested, drop: Drop | None = None
) -> list[Any]:
    """The node of an exception; Refusal if its class or its arguments cannot travel, or, without ``drop``, any of it.

    ``notes`` are packed last, when ``drop`` may have added to them.
    """
    depth = deeper(depth)
    cls = looks_like(type(error))
    name = reference(cls)
    if name is None:
        raise cannot_travel(error)
    node: list[Any] = [ERROR, name, class_name(cls), text_of(error)]
    node += _pack_content(error, cls, depth, drop)
    step = ""
    try:
        members: list[Any] = [LIST]
        for index, member in enumerate(members_of(error)):
            step = f".exceptions[{index}]"
            members.append(nested(member, depth))
        step = ".__cause__"
        cause = raw(error, "__cause__")
        packed_cause = None if cause is None else nested(cause, depth)
    except Refusal as refusal:
        refusal.passes(step, error)
        raise
    return [*node, [LIST, *notes], members, packed_cause, raw(error, "__suppress_context__")]


def _pack_content(error: BaseException, cls: type, depth: int, drop: Drop | None) -> list[Any]:
    hooks = _hooks(cls)
    if hooks is not None:
        return [*hooks.pack(error, depth), [DICT], [DICT]]
    try:
        args = PACKERS[tuple](args_of(error), depth)
    except Refusal as refusal:
        refusal.passes(".args", error)
        raise
    try:
        fields = fields_of(error)
    except Exception as failure:
        raise Refusal(f"it cannot be read ({described(failure)}); pass something else") from failure
    return [
        args,
        pack_attributes(fields, depth, error, drop),
        pack_attributes(attributes_of(error), depth, error, drop),
    ]


def _hooks(cls: type) -> Hooks | None:
    registration = BY_CLASS.get(cls)
    return registration.shape if registration is not None and isinstance(registration.shape, Hooks) else None


def unpack_value(node: list[Any], depth: int) -> Exception:
    """The exception that a node of kind ERROR stands for; CodecError if anything of it is not known here."""
    parts = operands(node, 10)
    members = [_exception(member) for member in expect(unpack(parts[7], depth), list)]
    cause = None if parts[8] is None else _exception(unpack(parts[8], depth))
    return complete(build(parts, members, depth), notes_from(parts[6], depth), cause, parts[9])


def build(parts: list[Any], members: list[Exception], depth: int) -> Exception:
    """The exception that the operands of a node of kind ERROR stand for, without notes and cause."""
    cls = referred(text_from(parts[0], depth))
    args, fields, attributes = (unpack(part, depth) for part in parts[3:6])
    hooks = _hooks(cls)
    if hooks is not None:
        return _exception(hooks.made(args))
    error = make(cls, expect(args, tuple), expect(fields, dict), members)
    if not all(type(name) is str for name in expect(attributes, dict)):
        raise CodecError("the name of an attribute is no str")
    raw(error, "__dict__").update(attributes)
    return error


def complete(error: Exception, notes: list[str], cause: Exception | None, suppress_context: Any) -> Exception:
    """The exception, with its notes and its cause."""
    if notes:
        raw(error, "__dict__")["__notes__"] = notes
    set_raw(error, "__cause__", cause)
    set_raw(error, "__suppress_context__", expect(suppress_context, bool))
    return error


def notes_from(node: Any, depth: int) -> list[str]:
    """The notes that a node stands for."""
    return [expect(note, str) for note in expect(unpack(node, depth), list)]


def text_from(node: Any, depth: int) -> str:
    """The text that a node stands for."""
    text: str = expect(unpack(node, depth), str)
    return text


def _exception(value: Any) -> Exception:
    if not isinstance(value, Exception):
        raise CodecError("a value stands where an exception belongs")
    return value
