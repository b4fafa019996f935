"""What a request asks of the ledger."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import msgspec


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a request is recorded in the ledger, in the same transaction as what it does."""

    id: str
    """Identifies the request; no other has the same."""
    operation: str = ""
    """The application's key for the operation that the request is, or belongs to; empty if there is none."""
    what: str = ""
    """What kind of operation that is: it has to be the same whenever the key is used."""
    asked: str = ""
    """A digest of the statements with their parameters, or of the function's arguments, which has to be the same, too;
    empty for a transaction, whose statements are not known when it takes its key."""
    session: str | None = None
    """A digest of the customized settings and the search path of the caller's session, which has to be the same, too,
    if they are known."""
    writes: bool = False
    """Whether it certainly writes. Postgres does not show it for all: a notification needs no transaction id."""


def digest(parts: Iterable[bytes]) -> str:
    """A text that is the same for the same parts, in every process and release."""
    hashed = hashlib.sha256()
    for part in parts:
        hashed.update(len(part).to_bytes(8, "big"))
        hashed.update(part)
    return hashed.hexdigest()
