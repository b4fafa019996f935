"""A process's connection to NATS, and the thread that runs it. All channels of a transport share it."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from time import monotonic
from typing import Any, Protocol, TypeVar

from nats.errors import Error as NatsError

from fly_orm.errors import FlyOrmError
from fly_orm.transport import Deadline, Latch, abandon_in_children, start_thread

from .connector import FAILURES, Connector, StrictClient, Unreachable, abort, close_inherited
from .frames import Frame
from .incoming import Incoming, ReplyHandler
from .job import Job
from .peers import HEARTBEAT_INTERVAL, Peers
from .subjects import inbox, new_id

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Heartbeats after which a connection that nobody uses is closed.
_IDLE_BEATS = 2
_CLOSE_TIMEOUT = 1.0
_MAX_PERMISSION_ERRORS = 20
#: The most memory that messages may take while they wait to be processed, which is never for long.
_PENDING_BYTES = 64 * 1024 * 1024


#: The connections of the processes that this one was forked from. They are kept alive, since Python's clean-up of their
#: event loops would disturb the parent's.
_abandoned: list[NatsConnection] = []


class ConnectionLost(FlyOrmError):
    """The connection to NATS has ended; another one has to be opened."""


class Listener(Protocol):
    """Accepts channels over a connection."""

    def connection_lost(self) -> None:
        """The connection has ended. Called once, in its thread."""
        ...


class Closable(Protocol):
    """A channel's end."""

    def close(self, reason: str) -> None:
        """Close it, in the connection's thread."""
        ...


class NatsConnection:
    """One connection to NATS, from its opening to its end. Methods are for its own thread unless stated otherwise."""

    def __init__(self, connector: Connector) -> None:
        self.id = new_id()
        self.client = StrictClient()
        self.peers = Peers(self.send_soon)
        self.listeners: set[Listener] = set()
        self.reply_handlers: dict[bytes, ReplyHandler] = {}
        """What takes replies that belong to no channel yet, by the number that stands in place of the channel's."""
        self.permission_errors: list[str] = []
        """What NATS did not permit."""
        self.ended = False
        self.reason = ""
        """Why it has ended, if so."""
        self._connector = connector
        self._loop = asyncio.SelectorEventLoop()
        self._ready = Latch()
        """Set once the connection is open, or cannot be opened…"""
        self._failure: FlyOrmError | None = None
        """…for this reason."""
        self._lost = asyncio.Event()
        self._submit_lock = threading.Lock()
        self._finished = False
        """Whether the thread takes no more work."""
        self._tasks: set[asyncio.Task[None]] = set()

    # For any thread

    def start(self) -> None:
        """Begin to open the connection; RuntimeError if the system grants no more threads."""
        abandon_in_children(self)
        start_thread(self._run, "fly-orm nats")

    def wait_until_open(self, deadline: Deadline) -> None:
        """Return once the connection is open; Unreachable if it cannot be opened, or is not by the deadline."""
        if not self._ready.wait(deadline.remaining()):
            raise Unreachable(f"no connection to NATS was made within {deadline}")
        if self._failure is not None:
            raise self._failure

    @property
    def lost(self) -> bool:
        """Whether it was open and no longer is, even if its users have not been told yet."""
        return self.ended or (self._ready.is_set() and not self.client.is_connected)

    def call_soon(self, function: Callable[..., None], *arguments: Any) -> None:
        """Have the connection's thread call the function, which it certainly will; ConnectionLost if it has ended."""
        with self._submit_lock:
            if self._finished:
                raise ConnectionLost(self.reason)
            self._loop.call_soon_threadsafe(function, *arguments)

    def job(self, function: Callable[..., Coroutine[Any, Any, T]], *arguments: Any) -> Job[T]:
        """A coroutine to run in the connection's thread, with the connection as its first argument.

        It raises ConnectionLost if the connection ends first.
        """

        async def run() -> T:
            if self.ended:
                raise ConnectionLost(self.reason)
            try:
                return await function(self, *arguments)
            except asyncio.CancelledError:
                if not self.ended:
                    raise
                raise ConnectionLost(self.reason) from None

        return Job(self, run)

    def close_soon(self, end: Closable) -> None:
        """Have the connection's thread close what its user has dropped. Takes no lock, as finalizers must not."""
        with suppress(RuntimeError):  # the connection has ended
            self._loop.call_soon_threadsafe(end.close, "its user has dropped it")

    def abandon(self) -> None:
        """In a forked process, leave the connection to the parent."""
        self.ended = True
        self.reason = "the process was forked"
        close_inherited(self.client)
        _abandoned.append(self)

    # For the connection's thread

    async def publish(self, peer: str, frame: Frame, *reference: str) -> None:
        """Send a frame to a process. If that process is gone, NATS says so, and repeats the reference."""
        await self.publish_to(inbox(peer, self.id), frame.encode(), inbox(self.id, peer, *reference))

    async def publish_to(self, subject: str, payload: bytes, reply: str) -> None:
        """Publish a payload; ConnectionLost if it was certainly not sent."""
        if self.lost:
            self._lost.set()
            raise ConnectionLost(self.reason or "the connection to NATS was lost")
        try:
            await self.client.publish(subject, payload, reply)
        except NatsError as error:
            raise ConnectionLost(f"NATS does not accept the message: {error}") from error
        except FAILURES:  # a part of it may have been sent
            self._lost.set()

    async def flush(self, seconds: float = 2.0) -> None:
        """Wait until NATS has taken what was sent before, and has said what it does not permit.

        nats-py sends its PING ahead of data that still waits to be sent, so only the second PONG comes after that data.
        The time limit applies to each of the two.
        """
        for _ in range(2):
            await self.client.flush(timeout=seconds)  # type: ignore[arg-type]  # it accepts fractions as well

    def create_task(self, function: Callable[..., Coroutine[Any, Any, None]], *arguments: Any) -> asyncio.Task[None]:
        """Run a coroutine in the background, which ends quietly if the connection is lost."""
        task = self._loop.create_task(self._run_quietly(function, *arguments))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _run_quietly(self, function: Callable[..., Coroutine[Any, Any, None]], *arguments: Any) -> None:
        with suppress(ConnectionLost):
            await function(*arguments)

    def send_soon(self, peer: str, frame: Frame) -> None:
        """Send a frame to a process in the background; nothing is sent once the connection has ended."""
        if not self.ended:
            self.create_task(self.publish, peer, frame)

    def call_later(self, seconds: float, function: Callable[[], None]) -> asyncio.TimerHandle:
        """Call a function later, unless the handle is cancelled."""
        return self._loop.call_later(seconds, function)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._main())
        except BaseException as error:  # nothing above this thread would report it
            log.exception("the connection to NATS failed", extra={"event": "internal_error"})
            self.reason = f"the connection to NATS failed: {type(error).__name__}: {error}"
        finally:
            self._end()
            with self._submit_lock:
                self._finished = True
            self._loop.run_until_complete(self._finish_tasks())
            self._loop.close()

    async def _main(self) -> None:
        incoming = Incoming(self.peers, self.reply_handlers, self.send_soon)
        try:
            await self._connector.open(self._new_client, error_cb=self._on_error, closed_cb=self._on_closed)
            self._lost.clear()
            await self.client.subscribe(
                inbox(self.id, ">"), cb=incoming.receive, pending_msgs_limit=0, pending_bytes_limit=_PENDING_BYTES
            )
        except (FlyOrmError, *FAILURES) as error:
            failure = error if isinstance(error, FlyOrmError) else Unreachable(f"cannot use NATS: {error}")
            self.ended, self.reason = True, str(failure)
            abort(self.client)
            self._failure = failure
            self._ready.set()
            return
        self._ready.set()
        await self._keep_alive()
        self._end()
        await self._disconnect()

    def _new_client(self) -> StrictClient:
        self.client = StrictClient()
        return self.client

    async def _keep_alive(self) -> None:
        """Send heartbeats until the connection is lost, or nobody needs it."""
        idle = 0
        while not self._lost.is_set() and self.client.is_connected:
            begun = monotonic()
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._lost.wait(), HEARTBEAT_INTERVAL)
            # If the whole process was paused, what has arrived meanwhile is processed before any peer is given up.
            self.peers.beat(judge=monotonic() - begun < 2 * HEARTBEAT_INTERVAL)
            idle = 0 if self.peers or self.listeners or self.reply_handlers else idle + 1
            if idle > _IDLE_BEATS:
                self.reason = "it was not in use"
                return
        cause = f" ({self.permission_errors[-1]})" if self.permission_errors else ""
        self.reason = "the connection to NATS was lost" + cause

    def _end(self) -> None:
        self.ended = True
        if not self._ready.is_set():
            self._failure = Unreachable(self.reason)
            self._ready.set()
        self.peers.lose_all(self.reason)
        for handle in list(self.reply_handlers.values()):
            handle("", None)
        for listener in list(self.listeners):
            listener.connection_lost()
        self.listeners.clear()

    async def _disconnect(self) -> None:
        await asyncio.sleep(0)  # tasks that were created just now get to send
        with suppress(*FAILURES):
            await asyncio.wait_for(self.client.close(), _CLOSE_TIMEOUT)
        abort(self.client)

    async def _finish_tasks(self) -> None:
        """Let work that was submitted in time begin, or be refused; then cancel all tasks that are left."""
        for _ in range(2):  # first calls become tasks, then the tasks begin
            await asyncio.sleep(0)
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    async def _on_error(self, error: Exception) -> None:
        log.debug("NATS: %s", error, extra={"event": "nats_error", "problem": str(error)})
        if "permissions" in str(error).lower():
            log.warning(
                "NATS has refused an operation for lack of permission: %s",
                error,
                extra={"event": "nats_not_permitted", "problem": str(error)},
            )
            if len(self.permission_errors) < _MAX_PERMISSION_ERRORS:
                self.permission_errors.append(str(error))

    async def _on_closed(self) -> None:
        self._lost.set()
