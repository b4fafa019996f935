"""Arguments and results as bytes, within the limits of this process."""

from __future__ import annotations

from typing import Any

from .. import codec
from ..runtime.runtime import current_runtime


def encoded(value: Any, name: str) -> bytes:
    """The bytes that encode a value; NotPortable, in which ``name`` says what it is, if it cannot travel."""
    return codec.encode(value, name, current_runtime().settings.max_elements)


def decoded(data: bytes) -> Any:
    """The value that was encoded; CodecError if there is none, or it is too large."""
    return codec.decode(data, current_runtime().settings.max_elements)
