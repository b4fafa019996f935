"""The error for a request that no node accepted: what each of them answered, and what to do."""

from __future__ import annotations

from collections.abc import Sequence

from ..deadline import Deadline
from ..errors import FlyOrmError, NoNode
from ..topology import Topology
from .candidates import PrimaryCandidates
from .directory import Directory
from .failures import Failures, causes, combined, have_no_primary, sentences
from .primary_region import PrimaryRegion


class Unaccepted:
    """Makes the errors. ``action`` completes "no node of a region …"."""

    def __init__(self, directory: Directory, topology: Topology) -> None:
        self._directory = directory
        self._own = topology.region
        self._configured = topology.primary_region or topology.region

    def by_primary(
        self, primary: PrimaryRegion, candidates: PrimaryCandidates, failures: Failures, deadline: Deadline, action: str
    ) -> FlyOrmError:
        """The error for a request for the primary; notes what a search of the other regions has found."""
        known = failures.of(candidates.known)
        others: Sequence[FlyOrmError] = ()
        ago = ""
        if candidates.others is not None:
            others = failures.of([*candidates.others, ""])
            primary.searched(others)
        elif (last := primary.last_search) is not None and failures.suggest_elsewhere:
            others, ago = last.found, f", asked {last.age:.1f} s ago"
        if others and have_no_primary([*known, *others]):
            name = "" if primary.database is None else f" of {primary.database!r}"
            message = (
                f"no server is the primary{name} now, as far as the nodes can tell. Nothing was executed. Repeat "
                "later, or promote a replica"
            )
            return combined(known, sentences(message, causes([*known, *others])), hint="")
        more = [f"Nor did a node of another region{ago}: {causes(others)}"] if others else []
        more += self._advice(known, deadline)
        return self.by_region(self._configured, known, deadline, action, more)

    def by_region(
        self, region: str, failures: Sequence[FlyOrmError], deadline: Deadline, action: str, more: Sequence[str] = ()
    ) -> FlyOrmError:
        """The error for a request for a region. NotDelivered, Refused or a subclass, with those of all attempts."""
        why = causes(failures) or (
            f"no attempt was made within {deadline}" if deadline.expired else "none could be reached before"
        )
        where = f"the primary region {region!r}" if region == self._configured else f"the region {region!r}"
        hint = f"Is `fly-orm serve` running at these addresses? They come from {self._directory.describe(region)}"
        return combined(failures, sentences(f"no node of {where} {action}: {why}", *more), hint=hint)

    def _advice(self, known: Sequence[FlyOrmError], deadline: Deadline) -> list[str]:
        if self._own == self._configured:
            return [
                f"PRIMARY_REGION names {self._own!r}, the region of this process, but the server here is a replica: if "
                "the primary is in another region, set PRIMARY_REGION to that"
            ]
        if any(isinstance(error, NoNode) for error in known):  # which asks by itself
            return []
        question = self._directory.misspelt(self._configured, deadline)
        return [f"PRIMARY_REGION is {self._configured!r}", question] if question else []
