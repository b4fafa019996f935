"""Notices that the primary region has the primary again, while another region still accepts requests."""

from __future__ import annotations

from ..concurrency.background import BackgroundTask
from ..deadline import Deadline, now
from ..protocol.messages import Describe, Described
from ..topology import Node
from .channels import CONNECT_TIMEOUT
from .directory import Directory
from .fence import Fence
from .primary_region import PrimaryRegion

#: Seconds between two looks.
INTERVAL = 10.0


class ReturnCheck:
    """Looks in the background, and only while requests are sent. Thread-safe.

    After failback the nodes of the other region decline, and requests return without this. But a region without a
    replica accepts requests as long as its nodes reach a primary, wherever that is, and each costs a detour.
    """

    def __init__(self, directory: Directory, primary: PrimaryRegion, fence: Fence) -> None:
        self._directory, self._primary, self._fence = directory, primary, fence
        self._task = BackgroundTask("fly_orm return to the primary region", self._look)
        self._next = 0.0

    def request_sent(self) -> None:
        """Start to look, if requests do not go to the primary region, and the last look was long ago."""
        if self._primary.current != self._primary.configured and now() >= self._next:
            self._next = now() + INTERVAL
            self._task.start()

    def _look(self) -> None:
        deadline = Deadline.after(CONNECT_TIMEOUT)
        for node in self._directory.candidates(self._primary.configured, deadline):
            if node not in self._directory.quarantined:  # which is probed anyway
                if self._has_primary(node, deadline):
                    self._primary.is_back(node)
                return

    def _has_primary(self, node: Node, deadline: Deadline) -> bool:
        """Whether the databases in question are on primaries there, none of which was superseded as far as is known."""
        with self._directory.channels_to(node).lent(deadline) as channel:
            names = channel.welcome.databases if self._primary.database is None else [self._primary.database]
            replies = {name: channel.request(Describe(database=name), deadline) for name in names}
        return all(self._is_primary(name, reply) for name, reply in replies.items())

    def _is_primary(self, database: str, reply: object) -> bool:
        if not isinstance(reply, Described) or not reply.primary or reply.history is None:
            return False
        return self._fence.newer(database, reply.history) is None
