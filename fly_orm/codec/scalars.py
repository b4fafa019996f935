"""Single values of the standard library that are not times."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import Any

from . import kinds
from .tree import Packer, Unpacker, expect, operand, operands, unpack
from .unsupported import CodecError, Refusal

#: Reducing a Fraction takes time by the square of its digits. Longer ones do not travel.
MAX_FRACTION_BITS = 32 * 1024

#: What text makes again as it was, with its kind.
_TEXTS: dict[type, int] = {
    Decimal: kinds.DECIMAL,
    IPv4Address: kinds.IPV4_ADDRESS,
    IPv6Address: kinds.IPV6_ADDRESS,
    IPv4Interface: kinds.IPV4_INTERFACE,
    IPv6Interface: kinds.IPV6_INTERFACE,
    IPv4Network: kinds.IPV4_NETWORK,
    IPv6Network: kinds.IPV6_NETWORK,
}


def _pack_text(kind: int) -> Packer:
    return lambda value, depth: [kind, str(value)]


def _unpack_text(make: Callable[[str], Any]) -> Unpacker:
    return lambda node, depth: make(operand(node, str))


def _unpack_bytes(make: Callable[[bytes], Any]) -> Unpacker:
    return lambda node, depth: make(operand(node, bytes))


def _pack_memoryview(value: memoryview, depth: int) -> list[Any]:
    try:
        return [kinds.MEMORYVIEW, value.tobytes()]
    except ValueError as error:
        raise Refusal(f"a memoryview cannot be read ({error}); pass bytes") from error


def _unpack_complex(node: list[Any], depth: int) -> complex:
    real, imaginary = operands(node, 2)
    return complex(expect(real, float), expect(imaginary, float))


def _pack_fraction(value: Fraction, _depth: int) -> list[Any]:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > MAX_FRACTION_BITS:
        raise Refusal("a Fraction of so many digits cannot travel; pass its numerator and denominator")
    return [kinds.FRACTION, value.numerator, value.denominator]


def _unpack_fraction(node: list[Any], depth: int) -> Fraction:
    numerator, denominator = (expect(unpack(part, depth), int) for part in operands(node, 2))
    if max(numerator.bit_length(), denominator.bit_length()) > MAX_FRACTION_BITS:
        raise CodecError("a Fraction has too many digits")
    return Fraction(numerator, denominator)


def _unpack_surrogates(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


def mended(tree: Any) -> Any:
    """The same tree, whose integers of more than 64 bits and strings with lone surrogates have become nodes."""
    if type(tree) is list:
        return [mended(item) for item in tree]
    if type(tree) is int and not -(2**63) <= tree < 2**64:
        return [kinds.BIG_INT, tree.to_bytes(tree.bit_length() // 8 + 1, "big", signed=True)]
    if type(tree) is str and not tree.isascii():
        data = tree.encode("utf-8", "surrogatepass")
        return tree if data.decode("utf-8", "ignore") == tree else [kinds.SURROGATES, data]
    return tree


SCALARS: dict[type, Packer] = {
    **{cls: _pack_text(kind) for cls, kind in _TEXTS.items()},
    bytearray: lambda value, depth: [kinds.BYTEARRAY, bytes(value)],
    memoryview: _pack_memoryview,
    complex: lambda value, depth: [kinds.COMPLEX, value.real, value.imag],
    Fraction: _pack_fraction,
    uuid.UUID: lambda value, depth: [kinds.UUID, value.bytes],
}
SCALAR_KINDS: dict[int, Unpacker] = {
    **{kind: _unpack_text(cls) for cls, kind in _TEXTS.items()},
    kinds.BYTEARRAY: _unpack_bytes(bytearray),
    kinds.MEMORYVIEW: _unpack_bytes(memoryview),
    kinds.BIG_INT: _unpack_bytes(lambda data: int.from_bytes(data, "big", signed=True)),
    kinds.SURROGATES: _unpack_bytes(_unpack_surrogates),
    kinds.COMPLEX: _unpack_complex,
    kinds.FRACTION: _unpack_fraction,
    kinds.UUID: _unpack_bytes(lambda data: uuid.UUID(bytes=data)),
}
