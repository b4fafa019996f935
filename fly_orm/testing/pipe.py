"""One direction of a connection through the WAN."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from .endpoint import Endpoint
from .network import Network, Weather

#: The most bytes under way in one direction; beyond that, no more are read from the source.
MAX_IN_FLIGHT_BYTES = 64 * 1024 * 1024


class Pipe:
    """Delivers every chunk from ``source`` to ``sink`` half a round trip after it arrived.

    Any number of chunks are under way at once, so the delay does not limit the throughput. They keep their order even
    if the delay becomes shorter meanwhile.
    """

    def __init__(
        self, network: Network, source: Endpoint, sink: Endpoint, *, opens_at: float, progressed: Callable[[Pipe], None]
    ) -> None:
        self.pushed = self.delivered = 0
        """How many chunks have arrived, and how many have been delivered."""
        self.ended = False
        """Whether the end of the stream has been delivered."""
        self._network = network
        self._source = source
        self._sink = sink
        self._opens_at = opens_at
        self._progressed = progressed
        self._under_way: deque[tuple[float, int, Callable[[], None]]] = deque()
        self._bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def empty(self) -> bool:
        """Whether the sink has accepted everything that has arrived."""
        return not self._under_way and self._sink.writable

    def push(self, chunk: bytes) -> None:
        """Send ``chunk`` on its way."""
        self._bytes += len(chunk)
        if self._bytes > MAX_IN_FLIGHT_BYTES and self._source.transport:
            self._source.transport.pause_reading()
        self._send(len(chunk), lambda: self._sink.write(chunk))

    def end(self) -> None:
        """Send the end of the stream on its way; the other direction goes on."""
        self._send(0, self._finish)

    def hang_up(self) -> None:
        """Send the news that the source has disconnected on its way."""
        self._send(0, self._sink.abort)

    def deliver(self) -> None:
        """Deliver what is due, and set a timer for the rest."""
        self._cancel_timer()
        now = self._network.loop.time()
        progress = False
        while self._under_way and self._sink.writable and self._network.weather is not Weather.STALLED:
            due, _, _ = self._under_way[0]
            if due > now:
                self._timer = self._network.loop.call_at(due, self.deliver)
                break
            self._deliver_first()
            progress = True
        if progress:
            self._progressed(self)

    def clear(self) -> None:
        """Drop everything that is under way."""
        self._cancel_timer()
        self._under_way.clear()
        self._bytes = 0

    def _send(self, size: int, arrive: Callable[[], None]) -> None:
        self.pushed += 1
        due = max(self._network.loop.time(), self._opens_at) + self._network.rtt / 2
        self._under_way.append((due, size, arrive))
        if self._timer is None:
            self.deliver()

    def _deliver_first(self) -> None:
        _, size, arrive = self._under_way.popleft()
        self.delivered += 1
        self._bytes -= size
        if self._bytes <= MAX_IN_FLIGHT_BYTES // 2 and self._source.transport:
            self._source.transport.resume_reading()
        arrive()

    def _finish(self) -> None:
        self.ended = True
        self._sink.finish()

    def _cancel_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
