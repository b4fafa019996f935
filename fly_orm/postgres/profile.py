"""What a session on the primary has of the caller that it serves."""

from __future__ import annotations

import msgspec

from .starting import Start


class Profile(msgspec.Struct, frozen=True):
    """What a caller's connection has that its statements depend on."""

    encoding: str
    """The client encoding."""
    session_settings: tuple[bytes, ...]
    """The statements that give a Postgres session the caller's session settings."""
    start: Start | None = None
    """What the caller's session has begun with; None for whatever the node's begins with."""

    @property
    def set_encoding(self) -> bytes:
        """The statement that gives a session the client encoding."""
        return f"SET client_encoding TO '{self.encoding}'".encode()


class Cleaning(msgspec.Struct, frozen=True):
    """What cleans a session after each caller with the same profile."""

    profile: Profile
    keeps: bool
    """Whether the session keeps what it knows of sequences."""
    is_own: bool
    """Whether it is the node's own after that."""
    sql: bytes
    is_ascii: bool
    """Whether it means the same in all client encodings."""
