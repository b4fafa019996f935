"""How arguments, results and exceptions of functions travel between nodes: with their types, and without running code.

On the wire, a value is MessagePack in which None, bool, float, str, bytes and integers of 64 bits stand for themselves
and everything else is an array, a *node*: first its kind (:mod:`.kinds`), a small integer, then the operands of that
kind. There are no maps and no extension types. A type is recognised exactly: an instance of a subclass is refused
unless the subclass has been registered, for it would arrive as something else.

Decoding builds only what the kinds say and what this process has registered. It imports nothing, and whatever the bytes
are, the worst that comes of them is a CodecError.
"""

from .classes import trust_exceptions_of
from .family import Family, Packed, add_family
from .raised import decode_error, encode_error
from .registry import register_type
from .unsupported import CodecError
from .values import decode, encode

__all__ = [
    "CodecError",
    "Family",
    "Packed",
    "add_family",
    "decode",
    "decode_error",
    "encode",
    "encode_error",
    "register_type",
    "trust_exceptions_of",
]
