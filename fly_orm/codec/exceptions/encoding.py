"""Exceptions as nodes, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...postgres.sql_error import looks_like
from ..containers import encode_attributes
from ..converters import HookConverter
from ..errors import CannotEncode, CodecError, unsupported_type
from ..names import class_name, describe_error, error_text
from ..nodes import ENCODERS, Encoder, expect, from_node, next_depth, operands, to_node
from ..registered_types import TYPES_BY_CLASS
from ..tags import DICT, ERROR, LIST
from .classes import reference_to, resolve
from .state import (
    args_of,
    attributes_of,
    base_attribute,
    fields_of,
    instantiate,
    members_of,
    set_base_attribute,
)
from .tracebacks import notes_of

#: Turns an exception that belongs to another one, such as its cause, into a node at a depth.
EncodeNested = Callable[[BaseException, int], Any]
Drop = Callable[[str, CannotEncode], None]


def find_encoder(cls: type) -> Encoder | None:
    """The encoder for exceptions that are passed as values. None for other classes."""
    return encode_as_value if issubclass(cls, BaseException) else None


def encode_as_value(error: BaseException, depth: int) -> list[Any]:
    """The node of an exception that is passed as a value. CannotEncode if anything in it cannot travel."""
    return encode_exception(error, depth, notes_of(error), to_node)


def encode_exception(
    error: BaseException, depth: int, notes: list[str], nested: EncodeNested, drop: Drop | None = None
) -> list[Any]:
    """The node of an exception. CannotEncode if its class or its args cannot travel.

    Without ``drop``, the same goes for its attributes. With it, those that cannot travel are left out and reported to
    ``drop``, which may add to ``notes``: they are encoded last.
    """
    depth = next_depth(depth)
    cls = looks_like(type(error))
    reference = reference_to(cls)
    if reference is None:
        raise unsupported_type(error)
    node: list[Any] = [ERROR, reference, class_name(cls), error_text(error)]
    node += _encode_state(error, cls, depth, drop)
    step = ""
    try:
        members: list[Any] = [LIST]
        for index, member in enumerate(members_of(error)):
            step = f".exceptions[{index}]"
            members.append(nested(member, depth))
        step = ".__cause__"
        cause = base_attribute(error, "__cause__")
        cause_node = None if cause is None else nested(cause, depth)
    except CannotEncode as why:
        why.add_step(step, error)
        raise
    return [*node, [LIST, *notes], members, cause_node, base_attribute(error, "__suppress_context__")]


def _encode_state(error: BaseException, cls: type, depth: int, drop: Drop | None) -> list[Any]:
    """The nodes of the args, the fields and the attributes, or of what the encode hook returned."""
    hooks = _hook_converter(cls)
    if hooks is not None:
        return [*hooks.encode(error, depth), [DICT], [DICT]]
    try:
        args = ENCODERS[tuple](args_of(error), depth)
    except CannotEncode as why:
        why.add_step(".args", error)
        raise
    try:
        fields = fields_of(error)
    except Exception as failure:
        raise CannotEncode(f"it cannot be read ({describe_error(failure)}); pass something else") from failure
    return [
        args,
        encode_attributes(fields, depth, error, drop),
        encode_attributes(attributes_of(error), depth, error, drop),
    ]


def _hook_converter(cls: type) -> HookConverter | None:
    registered = TYPES_BY_CLASS.get(cls)
    converter = None if registered is None else registered.converter
    return converter if isinstance(converter, HookConverter) else None


def decode_as_value(node: list[Any], depth: int) -> Exception:
    """The exception that a node tagged ERROR encodes. CodecError if its class, or anything in it, is unknown here."""
    parts = operands(node, 10)
    members = [_expect_exception(member) for member in expect(from_node(parts[7], depth), list)]
    cause = None if parts[8] is None else _expect_exception(from_node(parts[8], depth))
    return complete(decode_state(parts, members, depth), decode_notes(parts[6], depth), cause, parts[9])


def decode_state(parts: list[Any], members: list[Exception], depth: int) -> Exception:
    """The exception that the operands of a node tagged ERROR encode, without its notes and its cause."""
    cls = resolve(decode_text(parts[0], depth))
    args, fields, attributes = (from_node(part, depth) for part in parts[3:6])
    hooks = _hook_converter(cls)
    if hooks is not None:
        return _expect_exception(hooks.decode_state(args))
    error = instantiate(cls, expect(args, tuple), expect(fields, dict), members)
    if not all(type(name) is str for name in expect(attributes, dict)):
        raise CodecError("the name of an attribute is not a str")
    base_attribute(error, "__dict__").update(attributes)
    return error


def complete(error: Exception, notes: list[str], cause: Exception | None, suppress_context: Any) -> Exception:
    """The same exception, with its notes and its cause."""
    if notes:
        base_attribute(error, "__dict__")["__notes__"] = notes
    set_base_attribute(error, "__cause__", cause)
    set_base_attribute(error, "__suppress_context__", expect(suppress_context, bool))
    return error


def decode_notes(node: Any, depth: int) -> list[str]:
    """The notes that a node encodes."""
    return [expect(note, str) for note in expect(from_node(node, depth), list)]


def decode_text(node: Any, depth: int) -> str:
    """The text that a node encodes."""
    text: str = expect(from_node(node, depth), str)
    return text


def _expect_exception(value: Any) -> Exception:
    if not isinstance(value, Exception):
        raise CodecError(f"expected an exception, got a {type(value).__name__}")
    return value
