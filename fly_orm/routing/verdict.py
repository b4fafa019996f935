"""Whether a server that takes writes may be written, judged by what nodes say of theirs. Pure."""

from __future__ import annotations

import enum

from ..protocol.messages import Described


class Verdict(enum.Enum):
    """What a server that is not in recovery turns out to be."""

    CONFIGURED = "the primary, since the settings say so"
    THE_PRIMARY = "the primary that nodes write to"
    PROMOTED = "a replica of that primary that was promoted"
    UNCHECKED = "a primary in a system without nodes, where there is nothing to compare it with"
    OTHER_SYSTEM = "a server of another database system"
    COPY = "a copy of the primary"
    SUPERSEDED = "a former primary"
    UNDECIDED = "no node could tell"

    @property
    def may_write(self) -> bool:
        """Whether the server may be written."""
        return not self.is_wrong and self is not Verdict.UNDECIDED

    @property
    def is_wrong(self) -> bool:
        """Whether what is written to the server would be missing everywhere else."""
        return self in (Verdict.OTHER_SYSTEM, Verdict.COPY, Verdict.SUPERSEDED)


def judge(own: Described, other: Described, *, same_region: bool) -> Verdict:
    """What the own server is, given that a node's server is the other one.

    A node of the same region most likely has the same address, right or wrong. So it only counts if its server is
    confirmed.
    """
    if same_region and not other.confirmed:
        return Verdict.UNDECIDED
    if own.run == other.run:
        return Verdict.THE_PRIMARY
    if own.history is None or other.history is None:
        return Verdict.UNDECIDED
    if own.history.system != other.history.system:
        return Verdict.OTHER_SYSTEM
    if own.history.is_behind(other.history):
        return Verdict.SUPERSEDED
    if other.history.is_behind(own.history):
        return Verdict.PROMOTED
    if other.primary:
        return Verdict.COPY  # two primaries on one timeline: one began with a copy of the other's files
    # A copy of the primary could have replicas of its own. But this replica, of another region, does not follow a copy
    # unless that region is misconfigured as well.
    follows = own.replicas > 0 and other.lsn <= own.lsn
    return Verdict.THE_PRIMARY if follows else Verdict.UNDECIDED
