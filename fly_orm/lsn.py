"""A position in Postgres' write-ahead log."""

from __future__ import annotations

import re

_TEXT = re.compile(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})")

#: Size of a write-ahead-log page with Postgres' default build (Postgres manual, ``wal_block_size``).
WAL_PAGE_BYTES = 8192


class LSN(int):
    """A log sequence number: the byte offset of a position in the write-ahead log.

    LSNs of one timeline order as integers do; those of two timelines do not compare. The text form is that of the
    ``pg_lsn`` type (Postgres manual, section 8.20).
    """

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> LSN:
        """The LSN written as Postgres writes it, ``'0/3001148'``; ValueError for anything else."""
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
        """Whether this position is a page boundary, where the record before it may be incomplete on disk."""
        return self % WAL_PAGE_BYTES == 0


#: Later than every position there will ever be.
UNKNOWN_LSN = LSN(2**64 - 1)
