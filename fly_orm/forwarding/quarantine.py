"""The nodes that could not be reached, and how they come back."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from contextlib import suppress

from ..concurrency.timer import Timer
from ..deadline import now
from ..errors import FlyOrmError
from ..topology import Node


class _Stay:
    """One stay of a node in quarantine; ``interval`` is the number of seconds until the next probe."""

    def __init__(self, interval: float) -> None:
        self.interval = interval
        self.began = now()


class Quarantine:
    """A set of nodes, each of which is probed in the background, less and less often, until it answers. Thread-safe.

    ``probe`` tries to reach a node, and raises a FlyOrmError if it cannot; ``recovered`` is called for a node in
    quarantine that was reached. The first probe comes after ``first_interval`` seconds, and each interval is twice as
    long as the one before, up to ``longest_interval``.
    """

    def __init__(
        self,
        probe: Callable[[Node], None],
        recovered: Callable[[Node], None],
        *,
        first_interval: float,
        longest_interval: float,
    ) -> None:
        self._probe, self._recovered = probe, recovered
        self._first_interval, self._longest_interval = first_interval, longest_interval
        self._lock = threading.Lock()
        self._stays: dict[Node, _Stay] = {}
        self.nodes: frozenset[Node] = frozenset()
        """The nodes in quarantine."""
        self._timer = Timer("the timer of the nodes")
        self._closed = False

    def __contains__(self, node: Node) -> bool:
        return node in self._stays

    def add(self, node: Node) -> bool:
        """Put a node in quarantine. Returns False if it is there already, or after :meth:`close`."""
        with self._lock:
            if node in self._stays or self._closed:
                return False
            stay = self._stays[node] = _Stay(self._first_interval)
            self.nodes = frozenset(self._stays)
            self._schedule(node, stay)
            return True

    def remove(self, node: Node, asked_at: float) -> float | None:
        """End the quarantine of a node that has answered. Returns when it began (monotonic); None if it was not there.

        What it was asked before it was put there (monotonic) says nothing about it now.
        """
        if node not in self._stays:  # nearly always, and after every request
            return None
        with self._lock:
            stay = self._stays.get(node)
            if stay is None or asked_at < stay.began:
                return None
            del self._stays[node]
            self.nodes = frozenset(self._stays)
            return stay.began

    def retain(self, region: str, nodes: Collection[Node]) -> None:
        """Forget the nodes of the region that are not among these."""
        with self._lock:
            for node in [node for node in self._stays if node.region == region and node not in nodes]:
                del self._stays[node]
            self.nodes = frozenset(self._stays)

    def close(self) -> None:
        """Forget all nodes and end the probes."""
        with self._lock:
            self._closed = True
            self._stays.clear()
            self.nodes = frozenset()
        self._timer.close()

    def _schedule(self, node: Node, stay: _Stay) -> None:
        with suppress(RuntimeError):  # no thread can be started: the node comes last until a caller reaches it
            self._timer.call_later(stay.interval, lambda: self._start(node, stay))

    def _start(self, node: Node, stay: _Stay) -> None:
        if not self._lasts(node, stay):
            return
        try:  # on a thread of its own: connecting takes long, and the timer's other calls would wait for it
            threading.Thread(target=self._run, args=(node, stay), name="fly_orm probe", daemon=True).start()
        except RuntimeError:
            self._postpone(node, stay)

    def _run(self, node: Node, stay: _Stay) -> None:
        try:
            self._probe(node)
        except Exception as error:
            self._postpone(node, stay)
            if not isinstance(error, FlyOrmError):
                raise  # a fault of the transport's, to be printed as those of all threads
        else:
            if self._lasts(node, stay):
                self._recovered(node)

    def _postpone(self, node: Node, stay: _Stay) -> None:
        stay.interval = min(2 * stay.interval, self._longest_interval)
        with self._lock:
            if self._lasts(node, stay):
                self._schedule(node, stay)

    def _lasts(self, node: Node, stay: _Stay) -> bool:
        """Whether this stay has not ended. The node may be here again, with probes of another stay."""
        return self._stays.get(node) is stay
