"""Mutual proof of a shared secret over any transport, and a seal on every message after it.

The client's *hello* is answered by the server's; each names its protocol version and carries a fresh nonce, and the
server's adds a proof that it holds the secret. From the secret and both hellos each end derives one key per direction.
Every later message carries an HMAC-SHA256 (RFC 2104) of its number and content under the key of its direction, so a
message cannot be altered, replayed, reordered or reflected. The first sealed request is the client's proof.
"""

from __future__ import annotations

import hmac
import os
import struct

from ..errors import AuthenticationFailed, NotDelivered
from ..transport import Responder

#: Version of the messages that two nodes exchange; raised by every incompatible change.
PROTOCOL = 1

_HELLO = struct.Struct("!8sH32s")
_MAGIC = b"fly_orm\0"
_MAC_BYTES = 32
_NUMBER = struct.Struct("!Q")


def _mac(key: bytes, *parts: bytes) -> bytes:
    return hmac.digest(key, b"".join(parts), "sha256")


def _hello() -> bytes:
    return _HELLO.pack(_MAGIC, PROTOCOL, os.urandom(32))


class Seal:
    """Seals what one end says and opens what it hears, counting both."""

    def __init__(self, says: bytes, hears: bytes) -> None:
        self._says, self._hears = says, hears
        self._said = self._heard = 0

    def close(self, message: bytes) -> bytes:
        mac = _mac(self._says, _NUMBER.pack(self._said), message)
        self._said += 1
        return mac + message

    def open(self, sealed: bytes) -> bytes | None:
        """The message, or None if it was not sealed by the other end as its next message."""
        mac, message = sealed[:_MAC_BYTES], sealed[_MAC_BYTES:]
        if not hmac.compare_digest(mac, _mac(self._hears, _NUMBER.pack(self._heard), message)):
            return None
        self._heard += 1
        return message


def _keys(secret: bytes, hellos: bytes) -> tuple[bytes, bytes]:
    return _mac(secret, b"client says", hellos), _mac(secret, b"server says", hellos)


class ClientHandshake:
    """The opening side: send :attr:`hello`, then pass the answer to :meth:`accept`."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()
        self.hello = _hello()

    def accept(self, answer: bytes, address: str) -> Seal:
        """The seal for the rest of the channel, once the server has proven itself."""
        hello, proof = answer[: _HELLO.size], answer[_HELLO.size :]
        if len(hello) < _HELLO.size or not hello.startswith(_MAGIC):
            raise NotDelivered(f"{address} does not speak fly_orm's protocol", address=address)
        if not hmac.compare_digest(proof, _mac(self._secret, b"server proof", self.hello, hello)):
            raise AuthenticationFailed(
                f"{address} does not hold the same FLY_ORM_SECRET as this process; set the same one on both",
                address=address,
            )
        version = _HELLO.unpack(hello)[1]
        if version != PROTOCOL:
            raise NotDelivered(
                f"{address} speaks version {version} of fly_orm's protocol, this process version {PROTOCOL}; "
                "deploy the same fly_orm on both",
                address=address,
            )
        client, server = _keys(self._secret, self.hello + hello)
        return Seal(client, server)


class GuardedResponder:
    """A responder that lets only sealed messages through to the one behind it."""

    def __init__(self, secret: str, inner: Responder) -> None:
        self._secret = secret.encode()
        self._inner = inner
        self._seal: Seal | None = None
        self.trusted = False

    def respond(self, request: bytes) -> bytes | None:
        """The sealed reply to a sealed request; None, so that the peer is dropped, for anything unexpected."""
        if self._seal is None:
            return self._answer(request)
        message = self._seal.open(request)
        if message is None:
            return None
        self.trusted = True
        reply = self._inner.respond(message)
        return None if reply is None else self._seal.close(reply)

    def _answer(self, hello: bytes) -> bytes | None:
        if len(hello) != _HELLO.size or not hello.startswith(_MAGIC):
            return None
        own = _hello()
        client, server = _keys(self._secret, hello + own)
        self._seal = Seal(server, client)
        return own + _mac(self._secret, b"server proof", hello, own)

    def gone(self) -> None:
        self._inner.gone()
