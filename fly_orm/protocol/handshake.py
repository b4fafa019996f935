"""Mutual proof of a shared secret over any transport, and a seal on every message that follows.

The client sends a *hello* and the server answers with its own. Each states a protocol version and a fresh nonce, and
the server adds a proof that it holds the secret. Both ends derive one key per direction from the secret and the two
hellos. Every later message carries an HMAC-SHA256 (RFC 2104) of its number and its content under the key of its
direction, so nobody can alter, replay, reorder or reflect a message. The first sealed request is the client's proof.
"""

from __future__ import annotations

import hmac
import os
import struct
from collections.abc import Callable

from ..errors import AuthenticationFailed, NotDelivered
from ..transport import Responder

#: The version of the handshake and the messages. Every incompatible change increments it.
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
    """Seals the messages that one end sends and opens those that it receives. One thread at a time."""

    def __init__(self, send_key: bytes, receive_key: bytes) -> None:
        self._send_key, self._receive_key = send_key, receive_key
        self._sent = self._received = 0

    def close(self, message: bytes) -> bytes:
        """The message with its seal."""
        mac = _mac(self._send_key, _NUMBER.pack(self._sent), message)
        self._sent += 1
        return mac + message

    def open(self, sealed: bytes) -> bytes | None:
        """The message without its seal, or None if it is not the next message that the other end sealed."""
        mac, message = sealed[:_MAC_BYTES], sealed[_MAC_BYTES:]
        if not hmac.compare_digest(mac, _mac(self._receive_key, _NUMBER.pack(self._received), message)):
            return None
        self._received += 1
        return message


def _keys(secret: bytes, hellos: bytes) -> tuple[bytes, bytes]:
    """The keys for what the client sends and for what the server sends."""
    return _mac(secret, b"client says", hellos), _mac(secret, b"server says", hellos)


class ClientHandshake:
    """The client's side of the handshake: send :attr:`hello`, then pass the answer to :meth:`accept`."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()
        self.hello = _hello()

    def accept(self, answer: bytes, address: str) -> Seal:
        """The seal for the rest of the channel, if the answer proves that the server holds the secret.

        AuthenticationFailed if it does not, NotDelivered if the server speaks another protocol or version. The caller
        has sent no request yet, so nothing was executed. ``address`` is what the errors call the server.
        """
        hello, proof = answer[: _HELLO.size], answer[_HELLO.size :]
        if len(hello) < _HELLO.size or not hello.startswith(_MAGIC):
            raise NotDelivered(f"{address} does not speak fly_orm's protocol", address=address)
        if not hmac.compare_digest(proof, _mac(self._secret, b"server proof", self.hello, hello)):
            raise AuthenticationFailed(
                f"{address} does not hold the same FLY_ORM_SECRET as this process; set the same one on both",
                address=address,
            )
        # Only now: a version without proof could be anybody's, and would send operators after the wrong problem.
        version = _HELLO.unpack(hello)[1]
        if version != PROTOCOL:
            raise NotDelivered(
                f"{address} speaks version {version} of fly_orm's protocol, and this process version {PROTOCOL}; "
                "deploy the same fly_orm on both",
                address=address,
            )
        client, server = _keys(self._secret, self.hello + hello)
        return Seal(client, server)


class GuardedResponder:
    """The server's side: a responder that passes on to another one only what a client that holds the secret sealed.

    ``on_no_proof`` is called if the client leaves, or is dropped, after its hello and before its proof. A client that
    holds another secret leaves at that point, because the server's proof tells it so.
    """

    def __init__(self, secret: str, inner: Responder, on_no_proof: Callable[[], None] = lambda: None) -> None:
        self._secret = secret.encode()
        self._inner = inner
        self._on_no_proof = on_no_proof
        self._seal: Seal | None = None
        self.trusted = False
        """Whether the client has proven that it holds the secret."""

    def respond(self, request: bytes) -> bytes | None:
        """The sealed reply to a sealed request; None for anything else, which makes the transport drop the peer."""
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

    def last_reply(self) -> bytes | None:
        """The sealed reply that declines the next request; see :class:`fly_orm.transport.Responder`."""
        reply = self._inner.last_reply() if self.trusted else None
        return None if reply is None or self._seal is None else self._seal.close(reply)

    def gone(self) -> None:
        if self._seal is not None and not self.trusted:
            self._on_no_proof()
        self._inner.gone()
