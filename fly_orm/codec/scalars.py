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
from .nodes import Decoder, Encoder, expect, from_node, operand, operands, short_text

#: To print an int, or to compare it with a Decimal, takes time quadratic in its length. Longer ones are refused.
MAX_INT_BITS = 32 * 1024
#: So does reducing a Fraction.
MAX_FRACTION_BITS = 4 * 1024
#: The most digits of a Decimal, which are those of Postgres' ``numeric`` (Postgres manual, "Numeric Types").
MAX_DECIMAL_DIGITS = 131_072 + 16_383
#: The largest exponent of a Decimal, which is that of Python's default context. To print one takes as many characters.
MAX_DECIMAL_EXPONENT = 999_999
#: No address, scope included, is longer.
_MAX_ADDRESS = 100

#: Types whose ``str()`` their constructor turns back into the same value.
_TEXTS: dict[type, int] = {
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
    return lambda node, depth: make(short_text(node, _MAX_ADDRESS))


def _bytes_decoder(make: Callable[[bytes], Any]) -> Decoder:
    return lambda node, depth: make(operand(node, bytes))


def _fits(value: Decimal) -> bool:
    """Whether a Decimal has few enough digits, and an exponent that Python can calculate with."""
    return not value.is_finite() or abs(value.adjusted()) <= MAX_DECIMAL_EXPONENT


def _encode_decimal(value: Decimal, _depth: int) -> list[Any]:
    text = str(value)
    if not _fits(value) or len(text) > MAX_DECIMAL_DIGITS:
        raise CannotEncode(f"a Decimal of {len(text)} characters, {text:.20}, cannot travel; pass its str()")
    return [tags.DECIMAL, text]


def _decode_decimal(node: list[Any], _depth: int) -> Decimal:
    value = Decimal(short_text(node, MAX_DECIMAL_DIGITS))
    if not _fits(value):
        raise CodecError(f"the exponent of a Decimal is {value.adjusted()}, and {MAX_DECIMAL_EXPONENT} is allowed")
    return value


def _decode_big_int(data: bytes) -> int:
    if len(data) > MAX_INT_BITS // 8 + 1:
        raise CodecError(f"an int has {len(data)} bytes, and {MAX_INT_BITS // 8} are allowed")
    return int.from_bytes(data, "big", signed=True)


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
        if node.bit_length() > MAX_INT_BITS:
            raise CannotEncode(f"an int of {node.bit_length()} bits cannot travel; pass its to_bytes()")
        return [tags.BIG_INT, node.to_bytes(node.bit_length() // 8 + 1, "big", signed=True)]
    if type(node) is str and not node.isascii():
        data = node.encode("utf-8", "surrogatepass")
        return node if data.decode("utf-8", "ignore") == node else [tags.SURROGATES, data]
    return node


SCALAR_ENCODERS: dict[type, Encoder] = {
    **{cls: _text_encoder(tag) for cls, tag in _TEXTS.items()},
    Decimal: _encode_decimal,
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
    tags.DECIMAL: _decode_decimal,
    tags.BIG_INT: _bytes_decoder(_decode_big_int),
    tags.SURROGATES: _bytes_decoder(_decode_surrogates),
    tags.COMPLEX: _decode_complex,
    tags.FRACTION: _decode_fraction,
    tags.UUID: _bytes_decoder(lambda data: uuid.UUID(bytes=data)),
}
