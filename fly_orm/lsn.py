"""Postgres' log sequence numbers."""

from __future__ import annotations

import re

_TEXT = re.compile(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})")

#: The size of a WAL page in Postgres' default build (Postgres manual, ``wal_block_size``).
WAL_PAGE_BYTES = 8192


class LSN(int):
    """A log sequence number: the byte offset of a position in the write-ahead log.

    LSNs of one timeline compare as integers. LSNs of two timelines cannot be compared, see
    :class:`fly_orm.position.Position`. The text form is that of Postgres' type ``pg_lsn`` (Postgres manual, section
    "pg_lsn Type").
    """

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> LSN:
        """The LSN that ``text`` denotes in Postgres' notation, such as ``'0/3001148'``; ValueError for other texts."""
        match = _TEXT.fullmatch(text)
        if match is None:
            raise ValueError(f"not an LSN: {text!r} (expected two hexadecimal numbers, as in '0/3001148')")
        high, low = match.groups()
        return cls((int(high, 16) << 32) | int(low, 16))

    def __str__(self) -> str:
        return f"{self >> 32:X}/{self & 0xFFFFFFFF:X}"

    def __repr__(self) -> str:
        return f"LSN('{self}')"

    @property
    def ends_page(self) -> bool:
        """Whether this is a page boundary. A flush position there can lie inside a record that is not complete."""
        return self % WAL_PAGE_BYTES == 0


#: Greater than every LSN that a server will reach.
UNKNOWN_LSN = LSN(2**64 - 1)
