"""A connection in the lobby: its peer has not proven yet that it holds the secret."""

from __future__ import annotations

import socket

from fly_orm.deadline import now
from fly_orm.transport import STRANGER_MAX_MESSAGE_BYTES, STRANGER_TIMEOUT, Accept, Responder

from .addresses import Address
from .linger import Linger
from .wire import CONNECT, CONNECTED, HELLO, INVOKE, RESULT, frame, next_message

_CHUNK_BYTES = 2048


class Stranger:
    """Reads the messages of one stranger and answers them, without ever waiting. Only the lobby's thread uses it.

    Its methods raise what ``wire.FAILURES`` lists if the connection is to be closed.
    """

    __slots__ = (
        "_accept",
        "_reply",
        "_unread",
        "expires_at",
        "first",
        "host",
        "is_trusted",
        "linger",
        "peer",
        "reply_at",
        "responder",
        "sock",
    )

    def __init__(self, sock: socket.socket, address: Address, accept: Accept) -> None:
        self.sock = sock
        self.host = address.host
        self.peer = str(address)
        self.responder: Responder | None = None
        """None until the peer has greeted."""
        self.is_trusted = False
        self.first: tuple[int, bytes] | None = None
        """The number and content of the request that is the peer's proof. It has not been executed."""
        self.linger = Linger()
        self.expires_at = now() + STRANGER_TIMEOUT
        self.reply_at: float | None = None
        """When to call :meth:`reply`, on the monotonic clock. Nothing is to be read until then."""
        self._reply = b""
        self._accept = accept
        self._unread = bytearray()

    def read(self) -> None:
        """Read what has arrived, and answer the messages that are complete."""
        while (chunk := self._arrived()) is not None:
            self._unread += chunk
            while self._handle_next():
                pass
            if len(chunk) < _CHUNK_BYTES or self.is_trusted or self.reply_at is not None:
                return

    def reply(self) -> None:
        """Send the reply that was held back."""
        reply, self._reply, self.reply_at = self._reply, b"", None
        self._send(reply)
        while self._handle_next():
            pass

    def take_unread(self) -> bytes:
        """What has been read and not been handled."""
        return bytes(self._unread)

    def _arrived(self) -> bytes | None:
        try:
            chunk = self.sock.recv(_CHUNK_BYTES)
        except BlockingIOError:
            return None
        if not chunk:
            raise ConnectionResetError("the peer closed the connection")
        return chunk

    def _handle_next(self) -> bool:
        """Answer the next message; False if none is complete, or it has to wait."""
        if self.is_trusted or self.reply_at is not None or not self._unread:
            return False
        if self.responder is None:
            return self._greet()
        message = next_message(self._unread, INVOKE, STRANGER_MAX_MESSAGE_BYTES)
        if message is None:
            return False
        self.linger.note_received()
        self._answer(*message, self.responder)
        return True

    def _greet(self) -> bool:
        message = next_message(self._unread, CONNECT, len(HELLO))
        if message is None:
            return False
        if message[1] != HELLO:
            raise ConnectionAbortedError("the peer speaks another version of the protocol")
        self.responder = self._accept(self.peer)
        self._send(frame(CONNECTED, 0, HELLO))
        self.is_trusted = self.responder.trusted
        return True

    def _answer(self, seq: int, request: bytes, responder: Responder) -> None:
        answer = None if responder.trusted else responder.authenticate(request)
        if responder.trusted:
            self.is_trusted, self.first = True, (seq, request)
            return
        if answer is None or answer.reply is None:
            raise ConnectionAbortedError("the peer was refused")
        reply = frame(RESULT, seq, answer.reply)
        if answer.delay > 0:
            self._reply, self.reply_at = reply, now() + answer.delay
        else:
            self._send(reply)

    def _send(self, data: bytes) -> None:
        self.linger.note_sending()
        # What a stranger is told fits into any send buffer, unless it sends much and reads nothing.
        if self.sock.send(data) < len(data):
            raise ConnectionAbortedError("the peer does not read what it is sent")
