"""The nodes to which one request is sent, one after another, until one of them accepts it."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator

from ..deadline import Deadline
from ..errors import NotDelivered
from ..topology import Node
from .directory import Directory
from .failures import Failures
from .primary_region import PrimaryRegion


def of_region(directory: Directory, region: str, deadline: Deadline, failures: Failures) -> Iterator[Node]:
    """The nodes of a region in the order to try them, and then new ones if none of these could be reached.

    NoNode if there are none, NotDelivered if they cannot be looked up. ``failures`` are those of the attempts so far.
    """
    candidates = directory.candidates(region, deadline)
    yield from candidates
    if not deadline.expired and failures.none_reached:
        yield from directory.new_candidates(region, deadline, candidates)


class PrimaryCandidates:
    """The nodes to which one request for the primary is sent, in the order to try them.

    First come the nodes of the primary region, or of the one that accepted requests instead. Only if all of them leave
    open that the primary is elsewhere do those of the other regions follow, as often as :class:`PrimaryRegion` allows.
    Nodes in quarantine come last, since each could cost as much as a timeout, or not at all if not ``last_resort``.
    """

    def __init__(
        self,
        directory: Directory,
        primary: PrimaryRegion,
        deadline: Deadline,
        failures: Failures,
        *,
        last_resort: bool = True,
        tried: Collection[Node] = (),
    ) -> None:
        """``tried`` are nodes that have not accepted the request already, as ``failures`` says."""
        self._directory, self._primary = directory, primary
        self._deadline, self._failures = deadline, failures
        self._last_resort = last_resort
        self._tried = tried
        self.known = primary.regions
        """The regions that every request is sent to."""
        self.others: list[str] | None = None
        """The other regions, if this request searches them; None if it does not."""
        self._quarantined: list[Node] = []

    def __iter__(self) -> Iterator[Node]:
        for region in self.known:
            yield from self._healthy(region)
            if not self._goes_on:
                break
        elsewhere: list[Node] = []
        if self._goes_on and self._primary.begin_search():
            yield from self._search(elsewhere)
        if self._last_resort:
            yield from self._quarantined
            if self._goes_on:
                yield from elsewhere

    @property
    def _goes_on(self) -> bool:
        """Whether the primary may be in another region, and there is time to look for it."""
        return self._failures.suggest_elsewhere and not self._deadline.expired

    def _healthy(self, region: str) -> Iterator[Node]:
        """The nodes of a region that are not in quarantine, and then new ones if none of these could be reached."""
        nodes = self._look_up(region)
        yield from self._split(nodes, self._quarantined)
        if nodes and self._failures.none_reached and not self._deadline.expired:
            yield from self._directory.new_candidates(region, self._deadline, nodes)

    def _search(self, quarantined: list[Node]) -> Iterator[Node]:
        """The nodes of the other regions, one of each in turn. A node that declines speaks for its region."""
        self.others = regions = self._other_regions()
        queues = {region: self._split(self._look_up(region, expected=False), quarantined) for region in regions}
        while queues:
            for region, queue in list(queues.items()):
                if not queue or self._failures.declined(region):
                    del queues[region]
                else:
                    yield queue.pop(0)

    def _other_regions(self) -> list[str]:
        try:
            regions = [region for region in self._directory.regions(self._deadline) if region not in self.known]
        except NotDelivered as error:
            self._failures.add("", error)
            return []
        return random.sample(regions, len(regions))

    def _look_up(self, region: str, *, expected: bool = True) -> list[Node]:
        if self._deadline.expired:
            return []
        try:
            return self._directory.candidates(region, self._deadline)
        except NotDelivered as error:
            if expected:
                self._failures.add(region, error)
            return []

    def _split(self, nodes: Collection[Node], quarantined: list[Node]) -> list[Node]:
        """The nodes that are not in quarantine; the others are added to ``quarantined``."""
        nodes, away = [node for node in nodes if node not in self._tried], self._directory.quarantined
        if not away:
            return nodes
        quarantined.extend(node for node in nodes if node in away)
        return [node for node in nodes if node not in away]
