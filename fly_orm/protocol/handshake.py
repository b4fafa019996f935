"""Mutual proof of a shared secret over any transport, and a seal on every message that follows.

The client sends a *hello*: the protocol version, a fresh nonce and, for each of its secrets, a *hint*: a MAC of the
nonce under the secret's key. A server that has none of these secrets answers with a refusal that does not depend on its
own ones, so that a stranger learns nothing to guess at. Otherwise, it answers with a nonce of its own, and proves that
it holds the secret whose hint it recognized. Both ends derive one key per direction from the secret and the two hellos.
Every later message carries an HMAC-SHA256 (RFC 2104) of its number and its content under the key of its direction, so
nobody can alter, replay, reorder or reflect a message. A hint may be replayed: the first sealed request is what proves
to the server that the client holds the secret.
"""

from __future__ import annotations

import hmac
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ..concurrency.latch import Latch
from ..errors import AuthenticationFailed, NotDelivered
from ..transport import Answer
from .keys import Keys, keys_of
from .mac import Mac
from .secret import MAX_SECRETS, Secrets

#: The version of the handshake and the messages. Every incompatible change increments it.
PROTOCOL = 2

#: What every hello begins with, in all versions: what speaks, and its version.
_HEADER = struct.Struct("!8sH")
_MAGIC = b"fly_orm\0"
_NONCE_BYTES = 32
_HINT_BYTES = 16
_MAC_BYTES = 32
_NUMBER = struct.Struct("!Q")
#: In place of the number of a hint: none of them is known.
_NO_HINT = 255


def _mac(key: bytes, *parts: bytes) -> bytes:
    return Mac(key).of(*parts)


def _header() -> bytes:
    return _HEADER.pack(_MAGIC, PROTOCOL)


def _version(hello: bytes) -> int | None:
    """The version of the protocol that a peer speaks; None if it speaks another protocol."""
    if len(hello) < _HEADER.size or not hello.startswith(_MAGIC):
        return None
    version: int = _HEADER.unpack_from(hello)[1]
    return version


def _hint(keys: Keys, nonce: bytes) -> bytes:
    return _mac(keys.channel, b"client hint", nonce)[:_HINT_BYTES]


def _proof(keys: Keys, client_hello: bytes, server_hello: bytes) -> bytes:
    return _mac(keys.channel, b"server proof", client_hello, server_hello)


class Seal:
    """Seals the messages that one end sends and opens those that it receives. One thread at a time."""

    def __init__(self, send_key: bytes, receive_key: bytes) -> None:
        self._send_mac, self._receive_mac = Mac(send_key), Mac(receive_key)
        self._sent = self._received = 0

    def close(self, message: bytes) -> bytes:
        """The message with its seal."""
        mac = self._send_mac.of(_NUMBER.pack(self._sent), message)
        self._sent += 1
        return mac + message

    def open(self, sealed: bytes) -> bytes | None:
        """The message without its seal, or None if it is not the next message that the other end sealed."""
        mac, message = sealed[:_MAC_BYTES], sealed[_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._receive_mac.of(_NUMBER.pack(self._received), message)):
            return None
        self._received += 1
        return message


def _seal_keys(keys: Keys, hellos: bytes) -> tuple[bytes, bytes]:
    """The keys for what the client sends and for what the server sends."""
    return _mac(keys.channel, b"client says", hellos), _mac(keys.channel, b"server says", hellos)


class ClientHandshake:
    """The client's side of the handshake: send :attr:`hello`, then pass the answer to :meth:`accept`."""

    def __init__(self, secrets: Secrets) -> None:
        self._keys, self._has_secret = keys_of(secrets), bool(secrets)
        nonce = os.urandom(_NONCE_BYTES)
        self.hello = _header() + nonce + b"".join(_hint(keys, nonce) for keys in self._keys)

    def accept(self, answer: bytes, address: str) -> Seal:
        """The seal for the rest of the channel, if the answer proves that the server holds one of the secrets.

        AuthenticationFailed if it does not, NotDelivered if the server speaks another protocol or version. The caller
        has sent no request yet, so nothing was executed. ``address`` is what the errors call the server.
        """
        version = _version(answer)
        if version is None:
            raise NotDelivered(f"{address} does not speak fly_orm's protocol", address=address)
        if version != PROTOCOL:
            raise NotDelivered(
                f"{address} speaks version {version} of fly_orm's protocol, and this process version {PROTOCOL}; "
                "deploy the same fly_orm on both",
                address=address,
            )
        keys, hello = self._proven(answer)
        if keys is None:
            raise AuthenticationFailed(self._refusal(address), address=address)
        client, server = _seal_keys(keys, self.hello + hello)
        return Seal(client, server)

    def _refusal(self, address: str) -> str:
        if self._has_secret:
            return f"{address} does not hold the same FLY_ORM_SECRET as this process; set the same one on both"
        return f"this process has no FLY_ORM_SECRET, and {address} has one; set the same one here"

    def _proven(self, answer: bytes) -> tuple[Keys | None, bytes]:
        """The keys that the server has proven to hold, if any, and its hello."""
        size = _HEADER.size + _NONCE_BYTES + 1
        hello, proof = answer[:size], answer[size:]
        number = hello[-1] if len(hello) == size else _NO_HINT
        if number >= len(self._keys):
            return None, hello
        keys = self._keys[number]
        return (keys if hmac.compare_digest(proof, _proof(keys, self.hello, hello)) else None), hello


@dataclass(frozen=True, kw_only=True)
class OnFailure:
    """What a server does about strangers, who cannot prove that they hold a secret. None of these raises."""

    wrong_secret: Callable[[], float] = lambda: 0.0
    """Called for a peer that has none of the secrets; returns the seconds after which it is told so."""
    wrong_version: Callable[[int], None] = lambda _version: None
    """Called for a peer that speaks another version of the protocol."""


class Inner(Protocol):
    """What a guarded responder passes requests on to. See :class:`fly_orm.transport.Responder`."""

    def respond(self, request: bytes) -> bytes | None: ...
    @property
    def is_idle(self) -> bool: ...
    def last_reply(self, *, is_full: bool = False) -> bytes | None: ...
    def gone(self) -> None: ...


class GuardedResponder:
    """The server's side: a responder that passes on to another one only what a client that holds a secret sealed."""

    def __init__(self, secrets: Secrets, inner: Inner, on_failure: OnFailure = OnFailure()) -> None:
        self._keys = keys_of(secrets)
        self._inner = inner
        self._on_failure = on_failure
        self._seal: Seal | None = None
        self._refused = False
        self._gone = Latch()
        self._first: bytes | None = None
        """The proof without its seal, until it is executed."""
        self.trusted = False
        """Whether the client has proven that it holds the secret."""

    def authenticate(self, request: bytes) -> Answer:
        """The answer to a hello, and none to anything else; see :class:`fly_orm.transport.Responder`."""
        if self._refused:
            return Answer()
        if self._seal is None:
            return self._answer(request)
        self._first = self._seal.open(request)
        self.trusted = self._first is not None
        if not self.trusted:  # it has replayed the hello of another client
            self._on_failure.wrong_secret()
        return Answer()

    def respond(self, request: bytes) -> bytes | None:
        """The sealed reply to a sealed request; None for anything else, which makes the transport drop the peer."""
        if not self.trusted:
            answer = self.authenticate(request)
            if not self.trusted:
                self._gone.wait(answer.delay)
                return answer.reply
        message, self._first = self._first, None
        if (seal := self._seal) is None or (message is None and (message := seal.open(request)) is None):
            return None
        reply = self._inner.respond(message)
        return None if reply is None else seal.close(reply)

    def _answer(self, hello: bytes) -> Answer:
        version = _version(hello)
        if version is None:
            return Answer()
        if version != PROTOCOL:
            self._refused = True
            self._on_failure.wrong_version(version)
            return Answer(reply=_header())
        return self._answer_hints(hello)

    def _answer_hints(self, hello: bytes) -> Answer:
        nonce, hints = _split(hello)
        if not 0 < len(hints) <= MAX_SECRETS:
            return Answer()
        own = _header() + os.urandom(_NONCE_BYTES)
        for keys in self._keys:
            if (number := _position(_hint(keys, nonce), hints)) is not None:
                own += bytes([number])
                client, server = _seal_keys(keys, hello + own)
                self._seal = Seal(server, client)
                return Answer(reply=own + _proof(keys, hello, own))
        self._refused = True
        return Answer(reply=own + bytes([_NO_HINT]), delay=self._on_failure.wrong_secret())

    @property
    def is_idle(self) -> bool:
        """See :class:`fly_orm.transport.Responder`."""
        return self._inner.is_idle

    def last_reply(self, *, is_full: bool = False) -> bytes | None:
        """The sealed reply that declines the next request; see :class:`fly_orm.transport.Responder`."""
        reply = self._inner.last_reply(is_full=is_full) if self.trusted else None
        return None if reply is None or self._seal is None else self._seal.close(reply)

    def gone(self) -> None:
        """See :class:`fly_orm.transport.Responder`."""
        self._gone.set()
        self._inner.gone()


def _split(hello: bytes) -> tuple[bytes, list[bytes]]:
    """The nonce and the hints of a client's hello; no hints if it is malformed."""
    start = _HEADER.size + _NONCE_BYTES
    rest = hello[start:]
    if len(rest) % _HINT_BYTES:
        return b"", []
    return hello[_HEADER.size : start], [rest[at : at + _HINT_BYTES] for at in range(0, len(rest), _HINT_BYTES)]


def _position(hint: bytes, hints: list[bytes]) -> int | None:
    """Which of the hints this is. Its comparison takes the same time for all hints that differ."""
    return next((number for number, each in enumerate(hints) if hmac.compare_digest(each, hint)), None)
