"""What a node says of the leases that it ends itself."""

from __future__ import annotations

import logging

from .lease import Lease

log = logging.getLogger("fly_orm.node")


def log_cut_off(lease: Lease, peer: str, *, is_gone: bool) -> None:
    """Log that the lease of a peer ends, which has not ended it itself."""
    why = "is gone" if is_gone else "has said nothing for too long"
    what = "a transaction was open, and is rolled back" if lease.in_transaction else "no transaction was open"
    log.info(
        "ended the lease on %r of a process on %s, which %s; %s",
        lease.database,
        peer,
        why,
        what,
        extra={"event": "lease_cut_off", "peer": peer, "database": lease.database, "reason": why},
    )
