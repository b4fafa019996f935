"""What a request asks of the ledger."""

from __future__ import annotations

import msgspec


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a request is recorded in the ledger, in the same transaction as what it does."""

    id: str
    """Identifies the request; no other has the same."""
    operation: str = ""
    """The application's key for the operation that the request is, or belongs to; empty if there is none."""
    what: str = ""
    """What kind of operation that is: it has to be the same whenever the key is used."""
    writes: bool = False
    """Whether it certainly writes. Postgres does not show it for all: a notification needs no transaction id."""
