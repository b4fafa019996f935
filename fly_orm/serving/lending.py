"""The places of a node that its workers lend each other: connections to the primary, and threads for functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..concurrency.resizable_pool import ResizablePool
from ..sharing.allowance import Allowance
from ..sharing.membership import Membership
from .shares import Shares


def lend(membership: Membership, shares: Shares, kinds: Mapping[str, ResizablePool[Any]]) -> Callable[[bytes], bool]:
    """Let this worker borrow places of these kinds. Returns what lends one to a sibling, if it is not in use.

    A peer may take as large a part of what the worker has as of what the node has.
    """
    allowances: dict[bytes, Allowance] = {}
    for number, (kind, places) in enumerate(sorted(kinds.items())):

        def resize(size: int, kind: str = kind) -> None:
            shares.resize(kind, membership.part_of_peer(size))

        allowance = membership.allowance(number, kind, places, resize)
        places.on_shortage = shares.on_shortage[kind] = allowance.want
        allowances[kind.encode()] = allowance

    def lend_one(kind: bytes) -> bool:
        found = allowances.get(kind)
        return found is not None and found.lend()

    return lend_one
