"""Messages as bytes: MessagePack, checked against the types of the messages when it is decoded."""

from __future__ import annotations

from typing import Any

import msgspec

from ..errors import FlyOrmError
from ..lsn import LSN, UNKNOWN_LSN
from .elements import MAX_CONTAINERS, MAX_ELEMENTS, has_more_containers, has_more_elements
from .messages import Reply, Request
from .results import Values


class MessageError(FlyOrmError):
    """The bytes are not a message of this protocol."""


def _lsn(_type: type, value: object) -> LSN:
    """The LSN that was encoded as an integer: LSN is the only type here that MessagePack does not know."""
    if not isinstance(value, int) or not 0 <= value <= UNKNOWN_LSN:
        raise ValueError(f"{value!r} is not an LSN")
    return LSN(value)


def decoder(type_: Any) -> Any:
    """A decoder of MessagePack for values of this type, which may contain positions."""
    return msgspec.msgpack.Decoder(type_, dec_hook=_lsn)


encode = msgspec.msgpack.Encoder(enc_hook=int).encode
_requests: msgspec.msgpack.Decoder[Request] = decoder(Request)
_values: msgspec.msgpack.Decoder[Values] = decoder(Values)
_replies: msgspec.msgpack.Decoder[Reply] = decoder(Reply)


def decode_request(message: bytes, max_elements: int = MAX_ELEMENTS) -> Request:
    """The request that ``message`` encodes; MessageError if it encodes none, or has more than ``max_elements``."""
    if len(message) > max_elements and has_more_elements([message], max_elements):
        raise MessageError(
            f"the request has more than {max_elements} elements, such as statements; send less at once, or raise "
            "FLY_ORM_MAX_ELEMENTS on the node"
        )
    try:
        return _requests.decode(message)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MessageError(f"not a request of fly_orm's protocol: {error}") from error


def decode_reply(message: bytes) -> Reply:
    """The reply that ``message`` encodes; MessageError if it encodes none, or has more than MAX_CONTAINERS."""
    if has_more_containers(message, MAX_CONTAINERS):
        raise MessageError(f"the reply has more than {MAX_CONTAINERS} arrays and maps, and no result has so many")
    try:
        return _replies.decode(message)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MessageError(f"not a reply of fly_orm's protocol: {error}") from error


def decode_values(piece: bytes) -> Values:
    """The values of a piece of a result; MessageError if it is not one."""
    if has_more_containers(piece, MAX_CONTAINERS):
        raise MessageError(f"the piece has more than {MAX_CONTAINERS} arrays and maps, and no result has so many")
    try:
        return _values.decode(piece)
    except msgspec.DecodeError as error:
        raise MessageError(f"not a piece of a result: {error}") from error
