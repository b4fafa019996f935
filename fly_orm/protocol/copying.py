"""The data of a COPY, and of long results, as messages carry it."""

from __future__ import annotations

import msgspec

from .base import Answer, Instant, Message, Timeout

#: The most data that one message carries. A round trip carries one piece, so that longer ones are faster; but each has
#: to arrive in time, also where the network is slow, and both ends hold two or three of them.
PIECE_BYTES = 2 * 1024 * 1024


class BrokenInput(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The end of the input of a COPY … FROM STDIN that could not be read to its end: the COPY fails after it."""

    data: bytes
    error_class: str = ""
    """The name of the class of the error; empty if there was none, and what was read was not text or bytes."""
    error: str = ""


class Copy(Message, frozen=True, tag="copy"):
    """Go on with the COPY or the result of a :class:`.Run` upon :class:`Copying`. The last reply is that to the Run."""

    lease: bytes = b""
    timeout: Timeout | None = None
    """Seconds until the piece must have been taken, or the next one be there; else the statement is cancelled. None is
    no limit."""
    begin_by: Instant | None = None
    """When the caller gives up, as in :class:`.Run`."""
    data: bytes = b""
    """The next piece of the input of COPY … FROM STDIN."""
    last: bool = False
    """Whether the input ends with it. Until it has, nothing is committed."""
    broken: BrokenInput | None = None
    """The last piece, instead of ``data``, if the input could not be read to its end."""
    discards: bool = False
    """Whether the caller does not need the rest of the output of COPY … TO STDOUT, which runs to its end."""


class Copying(Answer, frozen=True, kw_only=True, tag="copying"):
    """The statement goes on: it has taken the piece that the caller has sent, or has one for the caller."""

    data: bytes = b""
    """The next piece of the output of COPY … TO STDOUT, which may end within a row; or the encoded values of the next
    rows of a result, column by column."""
    sizes: list[int] = msgspec.field(default_factory=list)
    """Of a COPY, the sizes of the rows that end or begin here, each mentioned once. Such a row may end in a later
    piece."""
    rows: int = 0
    """Of a result, how many rows the piece has."""
    uncommitted: bool = False
    """Whether nothing of the statement is committed before the caller asks for more."""
