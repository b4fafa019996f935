"""Single values of types in the standard library, other than times."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import Any

from . import tags
from .errors import CannotEncode, CodecError
from .nodes import Decoder, Encoder, expect, from_node, operand, operands

#: Reducing a Fraction takes time quadratic in its length. Longer ones are refused.
MAX_FRACTION_BITS = 32 * 1024

#: Types whose ``str()`` their constructor turns back into the same value.
_TEXTS: dict[type, int] = {
    Decimal: tags.DECIMAL,
    IPv4Address: tags.IPV4_ADDRESS,
    IPv6Address: tags.IPV6_ADDRESS,
    IPv4Interface: tags.IPV4_INTERFACE,
    IPv6Interface: tags.IPV6_INTERFACE,
    IPv4Network: tags.IPV4_NETWORK,
    IPv6Network: tags.IPV6_NETWORK,
}


def _text_encoder(tag: int) -> Encoder:
    return lambda value, depth: [tag, str(value)]


def _text_decoder(make: Callable[[str], Any]) -> Decoder:
    return lambda node, depth: make(operand(node, str))


def _bytes_decoder(make: Callable[[bytes], Any]) -> Decoder:
    return lambda node, depth: make(operand(node, bytes))


def _encode_memoryview(value: memoryview, depth: int) -> list[Any]:
    try:
        return [tags.MEMORYVIEW, value.tobytes()]
    except ValueError as error:
        raise CannotEncode(f"a memoryview cannot be read ({error}); pass bytes") from error


def _decode_complex(node: list[Any], depth: int) -> complex:
    real, imaginary = operands(node, 2)
    return complex(expect(real, float), expect(imaginary, float))


def _encode_fraction(value: Fraction, _depth: int) -> list[Any]:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > MAX_FRACTION_BITS:
        raise CannotEncode("a Fraction with so many digits cannot travel; pass its numerator and denominator")
    return [tags.FRACTION, value.numerator, value.denominator]


def _decode_fraction(node: list[Any], depth: int) -> Fraction:
    numerator, denominator = (expect(from_node(part, depth), int) for part in operands(node, 2))
    if max(numerator.bit_length(), denominator.bit_length()) > MAX_FRACTION_BITS:
        raise CodecError("a Fraction has too many digits")
    return Fraction(numerator, denominator)


def _decode_surrogates(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


def escaped(node: Any) -> Any:
    """A node in which integers of more than 64 bits and strings with lone surrogates are nodes of their own.

    Most values contain neither, so that this runs only when MessagePack has refused a node.
    """
    if type(node) is list:
        return [escaped(item) for item in node]
    if type(node) is int and not -(2**63) <= node < 2**64:
        return [tags.BIG_INT, node.to_bytes(node.bit_length() // 8 + 1, "big", signed=True)]
    if type(node) is str and not node.isascii():
        data = node.encode("utf-8", "surrogatepass")
        return node if data.decode("utf-8", "ignore") == node else [tags.SURROGATES, data]
    return node


SCALAR_ENCODERS: dict[type, Encoder] = {
    **{cls: _text_encoder(tag) for cls, tag in _TEXTS.items()},
    bytearray: lambda value, depth: [tags.BYTEARRAY, bytes(value)],
    memoryview: _encode_memoryview,
    complex: lambda value, depth: [tags.COMPLEX, value.real, value.imag],
    Fraction: _encode_fraction,
    uuid.UUID: lambda value, depth: [tags.UUID, value.bytes],
}
SCALAR_DECODERS: dict[int, Decoder] = {
    **{tag: _text_decoder(cls) for cls, tag in _TEXTS.items()},
    tags.BYTEARRAY: _bytes_decoder(bytearray),
    tags.MEMORYVIEW: _bytes_decoder(memoryview),
    tags.BIG_INT: _bytes_decoder(lambda data: int.from_bytes(data, "big", signed=True)),
    tags.SURROGATES: _bytes_decoder(_decode_surrogates),
    tags.COMPLEX: _decode_complex,
    tags.FRACTION: _decode_fraction,
    tags.UUID: _bytes_decoder(lambda data: uuid.UUID(bytes=data)),
}
