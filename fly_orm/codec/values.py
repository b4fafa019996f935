"""Values as bytes, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from ..errors import NotPortable
from . import errors, family
from .containers import CONTAINERS, CONTENTS
from .kinds import ERROR, FAMILY, OBJECT
from .names import described
from .registry import unpack_object
from .scalars import SCALAR_KINDS, SCALARS, mended
from .times import TIME_KINDS, TIMES
from .tree import FINDERS, PACKERS, UNPACKERS, pack, unpack
from .unsupported import CodecError, Refusal

T = TypeVar("T")

for _packers in (CONTAINERS, SCALARS, TIMES):
    PACKERS.update(_packers)
for _unpackers in (CONTENTS, SCALAR_KINDS, TIME_KINDS):
    UNPACKERS.update(_unpackers)
UNPACKERS.update({OBJECT: unpack_object, FAMILY: family.unpack_instance, ERROR: errors.unpack_value})
FINDERS.extend((errors.find_packer, family.find_packer))

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


def encode(value: Any, name: str) -> bytes:
    """The bytes that stand for a value. ``name`` says what it is, such as "argument 'items'" or "the result".

    NotPortable, which says where in it the culprit is, if it cannot travel.
    """
    try:
        return to_bytes(pack(value))
    except Refusal as refusal:
        raise refusal.as_error(name) from refusal.__cause__
    except RecursionError as error:
        raise NotPortable(f"{name}: it is nested too deep for the stack; pass something flatter", path=name) from error
    except (ValueError, RuntimeError) as error:  # more than 4 GiB of bytes, or another thread has changed a dict
        raise NotPortable(f"{name}: {described(error)}; pass something else", path=name) from error


def decode(data: bytes) -> Any:
    """The value that :func:`encode` made ``data`` of. CodecError if it was another, or has classes unknown here."""
    return guarded(lambda: unpack(_decode(data)))


def to_bytes(tree: Any) -> bytes:
    """The bytes of a tree."""
    try:
        return _encode(tree)
    except (OverflowError, UnicodeEncodeError):
        return _encode(mended(tree))


def to_tree(data: bytes) -> Any:
    """The tree in bytes; msgspec's errors if there is none."""
    return _decode(data)


def guarded(decode: Callable[[], T]) -> T:
    """What ``decode`` returns; CodecError in place of whatever it raises.

    Constructors raise all sorts of errors for operands that a stranger has chosen, and so do the ``__hash__`` and
    ``__eq__`` of registered classes.
    """
    try:
        return decode()
    except CodecError:
        raise
    except Exception as error:
        raise CodecError(f"not what fly_orm encodes, or not by the same release: {described(error)}") from error
