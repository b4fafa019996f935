"""Encodes the arguments, results and exceptions of functions for other nodes: typed, and without running code.

On the wire, a value is MessagePack. None, bool, float, str, bytes and integers of 64 bits stand for themselves.
Everything else is an array, called a *node*: a small integer, its tag (:mod:`.tags`), followed by the operands of that
tag. Maps and extension types are not used. Types are matched exactly: an instance of a subclass is refused unless the
subclass is registered, since it would arrive as an instance of another class.

Decoding creates only what the tags describe and what this process has registered. It imports nothing, and whatever the
bytes are, the worst that they cause is a CodecError.
"""

from .classes import decode_class, encode_class
from .errors import CodecError
from .exceptions.classes import trust_exceptions_of
from .exceptions.raised import decode_error, encode_error
from .registered_types import register_type
from .type_handlers import EncodedInstance, TypeHandler, add_type_handler
from .values import decode, decode_all, encode

__all__ = [
    "CodecError",
    "EncodedInstance",
    "TypeHandler",
    "add_type_handler",
    "decode",
    "decode_all",
    "decode_class",
    "decode_error",
    "encode",
    "encode_class",
    "encode_error",
    "register_type",
    "trust_exceptions_of",
]
