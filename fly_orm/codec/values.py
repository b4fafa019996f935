"""``encode()`` and ``decode()``: values as bytes, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import NotPortable
from ..protocol.elements import MAX_ELEMENTS, has_more_elements
from . import keys, type_handlers
from .classes import refuse_class
from .containers import CONTAINER_DECODERS, CONTAINER_ENCODERS
from .errors import CannotEncode, CodecError, with_codec_errors
from .exceptions import encoding as exceptions
from .names import describe_error
from .nodes import DECODERS, ENCODER_FINDERS, ENCODERS, from_node, to_node
from .packing import bytes_to_node, node_to_bytes
from .registered_types import decode_registered
from .scalars import SCALAR_DECODERS, SCALAR_ENCODERS
from .tags import CLASS, ERROR, HANDLED, REGISTERED
from .times import TIME_DECODERS, TIME_ENCODERS

for _encoders in (CONTAINER_ENCODERS, SCALAR_ENCODERS, TIME_ENCODERS):
    ENCODERS.update(_encoders)
for _decoders in (CONTAINER_DECODERS, SCALAR_DECODERS, TIME_DECODERS):
    DECODERS.update(_decoders)
DECODERS[REGISTERED] = decode_registered
DECODERS[HANDLED] = type_handlers.decode_instance
DECODERS[ERROR] = exceptions.decode_as_value
DECODERS[CLASS] = refuse_class
ENCODER_FINDERS.extend((exceptions.find_encoder, type_handlers.find_encoder))


def encode(value: Any, name: str, max_elements: int = MAX_ELEMENTS) -> bytes:
    """The bytes that encode a value. ``name`` says what it is, such as "argument 'items'" or "the result".

    Raises NotPortable, with the path to the culprit, if the value or something in it cannot travel, or if it has more
    than ``max_elements``.
    """
    try:
        data = node_to_bytes(to_node(value))
    except CannotEncode as error:
        raise error.as_not_portable(name) from error.__cause__
    except RecursionError as error:
        raise NotPortable(
            f"{name}: it is nested too deeply for the stack; pass something flatter", path=name
        ) from error
    except (ValueError, RuntimeError) as error:  # more than 4 GiB of bytes, or another thread changed a dict meanwhile
        raise NotPortable(f"{name}: {describe_error(error)}; pass something else", path=name) from error
    if has_more_elements([data], max_elements):
        raise NotPortable(f"{name}: {_too_many(max_elements)}", path=name)
    return data


def decode(data: bytes, max_elements: int = MAX_ELEMENTS) -> Any:
    """The value that was encoded. CodecError for bytes that do not encode a value, or need a class unknown here, and
    for those of more than ``max_elements``, before they take memory.
    """
    return decode_all([data], max_elements)[0]


def decode_all(parts: Sequence[bytes], max_elements: int = MAX_ELEMENTS) -> list[Any]:
    """The values that were encoded, which may have so many elements together; see :func:`decode`."""
    if has_more_elements(parts, max_elements):
        raise CodecError(_too_many(max_elements))
    keys.begin()
    return with_codec_errors(lambda: [from_node(bytes_to_node(part)) for part in parts])


def _too_many(most: int) -> str:
    return (
        f"it has more than {most} elements (items, keys, and the containers themselves); pass less at once, or raise "
        "FLY_ORM_MAX_ELEMENTS here and there"
    )
