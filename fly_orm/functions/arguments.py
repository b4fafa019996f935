"""The arguments of a call as bytes, and back. The class that a class method is called for travels by its name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import repeat
from typing import Any

from .. import codec
from .registering import Function
from .values import encoded


def encode_positional(function: Function, args: Sequence[Any], label: str | None = None) -> list[bytes]:
    """The bytes of each positional argument. NotPortable for one that cannot travel, which it calls ``label`` or else
    by its name.
    """
    labels = _labels(function) if label is None else repeat(label)
    owner = function.owner() if args and isinstance(args[0], type) else None
    return [
        codec.encode_class(value, owner, name) if owner is not None and number == 0 else encoded(value, name)
        for number, (value, name) in enumerate(zip(args, labels, strict=False))
    ]


def decode_arguments(
    function: Function, positional: Sequence[bytes], named: Mapping[str, bytes], max_elements: int
) -> tuple[list[Any], dict[str, Any]]:
    """The arguments that were sent. CodecError for those that do not fit this process, or have too many elements."""
    owner = function.owner()
    first = [] if owner is None else [codec.decode_class(part, owner) for part in positional[:1]]
    rest = positional[len(first) :]
    values = codec.decode_all([*rest, *named.values()], max_elements)
    return first + values[: len(rest)], dict(zip(named, values[len(rest) :], strict=True))


def _labels(function: Function) -> Iterator[str]:
    """How an error names each positional argument."""
    for name, parameter in function.signature.parameters.items():
        if parameter.kind is parameter.VAR_POSITIONAL:
            number = 0
            while True:
                yield f"argument {name!r}[{number}]"
                number += 1
        yield f"argument {name!r}"
