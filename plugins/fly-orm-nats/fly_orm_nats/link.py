"""A process's connection to NATS, and the thread that looks after it. All channels of a transport share it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from time import monotonic
from typing import Any, Protocol, TypeVar

from nats.aio.client import Client
from nats.errors import Error as NatsError

from fly_orm.errors import FlyOrmError
from fly_orm.transport import Deadline, abandon_in_children

from .connection import FAILURES, Connector, Unreachable, disown, drop
from .frames import Frame
from .incoming import Incoming
from .peers import HEARTBEAT_INTERVAL, Peers
from .subjects import inbox, new_id

log = logging.getLogger(__name__)

T = TypeVar("T")

#: A connection that nobody has used for so many heartbeats is closed.
_IDLE_BEATS = 2
_CLOSE_TIMEOUT = 1.0
_MAX_COMPLAINTS = 20
#: The most memory that messages may take while they wait here to be looked at, which none does for long.
_WAITING_BYTES = 64 * 1024 * 1024


#: The links of the processes that this one was forked from. They are kept, since what Python does when it lets go of an
#: event loop would disturb the parent's.
_inherited: list[Link] = []


class LinkDown(FlyOrmError):
    """The connection to NATS is gone; another has to be opened."""


class Listener(Protocol):
    """What is asked for channels over a link."""

    def link_lost(self) -> None:
        """The link is down. Called once, in its thread."""
        ...


class Link:
    """One connection to NATS, from its opening to its loss. What is not said to be for any thread is for its own."""

    def __init__(self, connector: Connector) -> None:
        self.id = new_id()
        self.client = Client()
        self.peers = Peers(self)
        self.listeners: set[Listener] = set()
        self.answers: dict[bytes, Callable[[str, Frame | None], None]] = {}
        """Who waits for frames that belong to no channel yet, by the number in place of the channel's."""
        self.complaints: list[str] = []
        """What NATS did not permit."""
        self.ended = False
        self.why = ""
        self._connector = connector
        self._loop = asyncio.SelectorEventLoop()
        self._ready: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._lost = asyncio.Event()
        self._door = threading.Lock()
        self._left = False
        """Nobody can ask the thread for anything any more."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._run, name="fly-orm nats", daemon=True)

    # What any thread may call

    def start(self) -> None:
        """The connection is being opened; RuntimeError if the system grants no more threads."""
        abandon_in_children(self)
        self._thread.start()

    def wait_until_open(self, deadline: Deadline) -> None:
        """Unreachable if NATS cannot be connected to, or has not been by the deadline."""
        try:
            self._ready.result(_seconds(deadline))
        except concurrent.futures.TimeoutError:
            raise Unreachable(f"no connection to NATS was made within {deadline}") from None

    @property
    def lost(self) -> bool:
        """Whether it has been open and is not any more, even if what used it has not been told yet."""
        return self.ended or (self._ready.done() and not self.client.is_connected)

    def post(self, function: Callable[..., None], *arguments: Any) -> None:
        """The link's thread certainly calls the function, and soon; LinkDown if it has ended."""
        with self._door:
            if self._left:
                raise LinkDown(self.why)
            self._loop.call_soon_threadsafe(function, *arguments)

    def run(self, function: Callable[..., Coroutine[Any, Any, T]], *arguments: Any) -> concurrent.futures.Future[T]:
        """The future of what the function, given this link first, returns in the link's thread. LinkDown if it ends."""

        async def run() -> T:
            if self.ended:
                raise LinkDown(self.why)
            try:
                return await function(self, *arguments)
            except asyncio.CancelledError:
                if not self.ended:
                    raise
                raise LinkDown(self.why) from None

        with self._door:
            if self._left:
                raise LinkDown(self.why)
            return asyncio.run_coroutine_threadsafe(run(), self._loop)

    def abandon(self) -> None:
        """In a forked process, the link is the parent's alone."""
        self.ended = True
        self.why = "the process was forked"
        disown(self.client)
        _inherited.append(self)

    # What its thread does

    async def publish(self, peer: str, frame: Frame, *answer: str) -> None:
        """Send to a process; should there be none, that is noticed."""
        await self.publish_to(inbox(peer, self.id), frame.encode(), inbox(self.id, peer, *answer))

    async def publish_to(self, subject: str, payload: bytes, reply: str) -> None:
        """LinkDown if it was certainly not sent."""
        if self.lost:
            self._lost.set()
            raise LinkDown(self.why or "the connection to NATS was lost")
        try:
            await self.client.publish(subject, payload, reply)
        except NatsError as error:
            raise LinkDown(f"NATS does not take it: {error}") from error
        except FAILURES:  # some of it may have been sent
            self._lost.set()

    async def settle(self, seconds: float = 2.0) -> None:
        """NATS has taken what was sent before, and said what it does not permit.

        nats-py sends its question for that past what still waits to be sent, so that only the second one comes after.
        The time limit is that of each.
        """
        for _ in range(2):
            await self.client.flush(timeout=seconds)  # type: ignore[arg-type]  # it waits for fractions as well

    def spawn(self, function: Callable[..., Coroutine[Any, Any, None]], *arguments: Any) -> asyncio.Task[None]:
        """The function runs beside; that the link goes down is no error in it."""
        task = self._loop.create_task(self._quietly(function, *arguments))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _quietly(self, function: Callable[..., Coroutine[Any, Any, None]], *arguments: Any) -> None:
        with suppress(LinkDown):
            await function(*arguments)

    def tell(self, peer: str, frame: Frame) -> None:
        """Send to a process, soon."""
        self.spawn(self.publish, peer, frame)

    def call_later(self, seconds: float, function: Callable[[], None]) -> asyncio.TimerHandle:
        return self._loop.call_later(seconds, function)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._live())
        except BaseException as error:  # the thread's edge
            log.exception("the connection to NATS broke")
            self.why = f"the connection to NATS broke: {type(error).__name__}: {error}"
        finally:
            self._end()
            with self._door:
                self._left = True
            self._loop.run_until_complete(self._wind_up())
            self._loop.close()

    async def _live(self) -> None:
        try:
            await self._connector.open(self._fresh, error_cb=self._complain, closed_cb=self._closed)
            self._lost.clear()
            await self.client.subscribe(
                inbox(self.id, ">"), cb=Incoming(self).take, pending_msgs_limit=0, pending_bytes_limit=_WAITING_BYTES
            )
        except (FlyOrmError, *FAILURES) as error:
            failure = error if isinstance(error, FlyOrmError) else Unreachable(f"cannot use NATS: {error}")
            self.ended, self.why = True, str(failure)
            drop(self.client)
            self._ready.set_exception(failure)
            return
        self._ready.set_result(None)
        await self._tend()
        self._end()
        await self._part()

    def _fresh(self) -> Client:
        self.client = Client()
        return self.client

    async def _tend(self) -> None:
        """Returns when the connection is lost, or nobody needs it."""
        idle = 0
        while not self._lost.is_set() and self.client.is_connected:
            begun = monotonic()
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._lost.wait(), HEARTBEAT_INTERVAL)
            # After a pause of the whole process, what has come meanwhile is looked at before anybody is given up.
            self.peers.beat(judge=monotonic() - begun < 2 * HEARTBEAT_INTERVAL)
            idle = 0 if self.peers or self.listeners or self.answers else idle + 1
            if idle > _IDLE_BEATS:
                self.why = "it was not in use"
                return
        self.why = "the connection to NATS was lost" + (f" ({self.complaints[-1]})" if self.complaints else "")

    def _end(self) -> None:
        self.ended = True
        if not self._ready.done():
            self._ready.set_exception(Unreachable(self.why))
        self.peers.lose_all(self.why)
        for answer in list(self.answers.values()):
            answer("", None)
        for listener in list(self.listeners):
            listener.link_lost()
        self.listeners.clear()

    async def _part(self) -> None:
        await asyncio.sleep(0)  # what was spawned just now gets to send
        with suppress(*FAILURES):
            await asyncio.wait_for(self.client.close(), _CLOSE_TIMEOUT)
        drop(self.client)

    async def _wind_up(self) -> None:
        """What was asked for is being done or has been refused; then all that still goes on is ended."""
        for _ in range(2):  # calls become tasks, and tasks begin
            await asyncio.sleep(0)
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    async def _complain(self, error: Exception) -> None:
        log.debug("NATS: %s", error)
        if "permissions" in str(error).lower():
            log.warning("NATS does not permit it: %s", error)
            if len(self.complaints) < _MAX_COMPLAINTS:
                self.complaints.append(str(error))

    async def _closed(self) -> None:
        self._lost.set()


def _seconds(deadline: Deadline) -> float | None:
    remaining = deadline.remaining()
    return None if remaining is None else min(remaining, threading.TIMEOUT_MAX)
