"""``encode()`` and ``decode()``: values as bytes, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from ..errors import NotPortable
from . import type_handlers
from .containers import CONTAINER_DECODERS, CONTAINER_ENCODERS
from .errors import CannotEncode, CodecError
from .exceptions import encoding as exceptions
from .names import describe_error
from .nodes import DECODERS, ENCODER_FINDERS, ENCODERS, from_node, to_node
from .registered_types import decode_registered
from .scalars import SCALAR_DECODERS, SCALAR_ENCODERS, escaped
from .tags import ERROR, HANDLED, REGISTERED
from .times import TIME_DECODERS, TIME_ENCODERS

T = TypeVar("T")

for _encoders in (CONTAINER_ENCODERS, SCALAR_ENCODERS, TIME_ENCODERS):
    ENCODERS.update(_encoders)
for _decoders in (CONTAINER_DECODERS, SCALAR_DECODERS, TIME_DECODERS):
    DECODERS.update(_decoders)
DECODERS[REGISTERED] = decode_registered
DECODERS[HANDLED] = type_handlers.decode_instance
DECODERS[ERROR] = exceptions.decode_as_value
ENCODER_FINDERS.extend((exceptions.find_encoder, type_handlers.find_encoder))

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


def encode(value: Any, name: str) -> bytes:
    """The bytes that encode a value. ``name`` says what it is, such as "argument 'items'" or "the result".

    Raises NotPortable, with the path to the culprit, if the value or something in it cannot travel.
    """
    try:
        return node_to_bytes(to_node(value))
    except CannotEncode as error:
        raise error.as_not_portable(name) from error.__cause__
    except RecursionError as error:
        raise NotPortable(
            f"{name}: it is nested too deeply for the stack; pass something flatter", path=name
        ) from error
    except (ValueError, RuntimeError) as error:  # more than 4 GiB of bytes, or another thread changed a dict meanwhile
        raise NotPortable(f"{name}: {describe_error(error)}; pass something else", path=name) from error


def decode(data: bytes) -> Any:
    """The value that was encoded. CodecError for bytes that do not encode a value, or need a class unknown here."""
    return with_codec_errors(lambda: from_node(_decode(data)))


def node_to_bytes(node: Any) -> bytes:
    """The bytes of a node."""
    try:
        return _encode(node)
    except (OverflowError, UnicodeEncodeError):
        return _encode(escaped(node))


def bytes_to_node(data: bytes) -> Any:
    """The node in some bytes. msgspec's errors if there is none."""
    return _decode(data)


def with_codec_errors(decode: Callable[[], T]) -> T:
    """What ``decode()`` returns. Raises CodecError in place of whatever it raises.

    The operands may be anybody's: constructors raise all sorts of errors for them, and so do the ``__hash__`` and
    ``__eq__`` of registered classes.
    """
    try:
        return decode()
    except CodecError:
        raise
    except Exception as error:
        raise CodecError(f"not encoded by fly_orm, or by another release of it: {describe_error(error)}") from error
