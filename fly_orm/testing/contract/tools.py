"""What the tests of a transport share: a recording responder, a node that serves, and waits with a limit."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import ExitStack, contextmanager
from typing import ParamSpec, TypeVar

from fly_orm.deadline import Deadline
from fly_orm.transport import Answer, Channel, Server, Transport

T = TypeVar("T")
P = ParamSpec("P")

#: Seconds within which anything without a wait of its own is done, however busy the machine is.
SOON = 10.0
#: Seconds after which a reply that is held back is an error.
HELD_TIMEOUT = 40.0
#: What a server that is closed may answer a request with that it does not execute.
LAST_REPLY = b"the last reply"
_POLL_INTERVAL = 0.005
_MOMENT = 0.2


def soon(timeout: float = SOON) -> Deadline:
    """A deadline that anything without a wait of its own meets."""
    return Deadline.after(timeout)


def until(
    condition: Callable[[], object],
    timeout: float = SOON,
    complaint: Callable[[], object] = lambda: "it did not happen",
) -> None:
    """Return once the condition is true; AssertionError if it is not within the timeout."""
    deadline = Deadline.after(timeout)
    while not condition():
        assert not deadline.expired, f"{complaint()} (within {deadline})"
        time.sleep(_POLL_INTERVAL)


def in_thread(function: Callable[P, T], *args: P.args, **options: P.kwargs) -> Future[T]:
    """The future of the function's result, computed on a daemon thread of its own."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(function(*args, **options))
        except BaseException as error:  # noqa: BLE001 - the future passes it on
            future.set_exception(error)

    threading.Thread(target=run, name="contract", daemon=True).start()
    return future


def result(future: Future[T], timeout: float = SOON) -> T:
    """The result of the future; AssertionError if there is none within the timeout."""
    wait([future], timeout)
    assert future.done(), f"it did not return within {timeout:g} s"
    return future.result()


def goes_on(future: Future[T]) -> bool:
    """Whether the future is still without a result a moment from now."""
    wait([future], _MOMENT)
    return not future.done()


def within(timeout: float, function: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
    """What the function returns; AssertionError if it does not return within the timeout."""
    return result(in_thread(function, *args, **options), timeout)


def ask(channel: Channel, request: bytes, timeout: float = SOON) -> bytes:
    """The reply to the request; AssertionError if ``exchange`` exceeds its deadline by more than SOON."""
    return within(timeout + SOON, channel.exchange, request, Deadline.after(timeout))


class Recorder:
    """A responder that answers with a function, and records its calls."""

    def __init__(self, peer: str = "", answer: Callable[[bytes], bytes | None] = bytes, trusted: bool = True) -> None:
        self.peer = peer
        self.answer = answer
        self.trusted = trusted
        self.is_idle = True
        self.requests: list[bytes] = []
        self.replied = 0
        self.gone_calls = 0

    def respond(self, request: bytes) -> bytes | None:
        self.requests.append(request)
        reply = self.answer(request)
        self.replied += 1
        return reply

    def authenticate(self, request: bytes) -> Answer:
        return Answer(reply=self.respond(request))

    def last_reply(self, *, is_full: bool = False) -> bytes | None:
        return LAST_REPLY if self.trusted else None

    def gone(self) -> None:
        self.gone_calls += 1


class Held:
    """An answer function that holds its reply back until it is released."""

    def __init__(self) -> None:
        self.started = threading.Event()
        self.released = threading.Event()

    def __call__(self, request: bytes) -> bytes:
        self.started.set()
        assert self.released.wait(HELD_TIMEOUT)
        return b"late " + request


class Node:
    """A transport, the servers and channels opened through it, and the channels' responders."""

    server: Server

    def __init__(self, transport: Transport, listen: str) -> None:
        self.transport = transport
        self.listen = listen
        self.responders: list[Recorder] = []
        self._held: list[Held] = []
        self._undo = ExitStack()

    def serve(
        self, answer: Callable[[bytes], bytes | None] = bytes, *, trusted: bool = True, listen: str | None = None
    ) -> Node:
        """Begin to serve, with replies by ``answer``, which by default repeats the request; returns the node itself."""

        def accept(peer: str) -> Recorder:
            self.responders.append(Recorder(peer, answer, trusted))
            return self.responders[-1]

        if isinstance(answer, Held):
            self._held.append(answer)
        self.server = within(SOON, self.transport.serve, listen or self.listen, accept)
        self._undo.callback(within, 2 * SOON, self.server.close, 0)
        return self

    def connect(self, address: str | None = None) -> Channel:
        """A channel to the address, or to the node itself."""
        channel = within(2 * SOON, self.transport.connect, address or self.server.address, soon())
        self._undo.callback(within, SOON, channel.close)
        return channel

    @property
    def responder(self) -> Recorder:
        """The responder of the only channel, once it has been accepted."""
        until(lambda: self.responders, complaint=lambda: "no channel was accepted")
        assert len(self.responders) == 1
        return self.responders[0]

    @property
    def requests(self) -> list[bytes]:
        """The requests of all responders."""
        return [request for responder in self.responders for request in responder.requests]

    def gone(self, timeout: float) -> None:
        """Wait until the responder of the only channel has been told that its peer is gone."""
        until(lambda: self.responder.gone_calls, timeout, lambda: "gone() was not called")
        assert self.responder.gone_calls == 1

    def close(self) -> None:
        """Release the replies that are held back, and close everything that was opened, the last first."""
        for held in self._held:
            held.released.set()
        self._undo.close()


@contextmanager
def node_of(transport: Transport, listen: str) -> Iterator[Node]:
    """A node that exists as long as the block lasts."""
    node = Node(transport, listen)
    try:
        yield node
    finally:
        node.close()


def in_child(function: Callable[[], object], timeout: float = 2 * HELD_TIMEOUT) -> None:
    """Run the function in a forked process; AssertionError if it fails there, or takes longer than the timeout."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of forking with threads
        pid = os.fork()
    if pid == 0:
        os._exit(_status(function))
    status = _wait_for(pid, timeout)
    assert status is not None, "the forked process did not end"
    assert status == 0, "the forked process failed; its output says why"


def _status(function: Callable[[], object]) -> int:
    try:
        function()
    except BaseException:  # noqa: BLE001 - the process ends here
        traceback.print_exc()
        sys.stderr.flush()
        return 1
    return 0


def _wait_for(pid: int, timeout: float) -> int | None:
    """The exit status of a child; None if it does not end in time, and is killed."""
    deadline = Deadline.after(timeout)
    while not deadline.expired:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return status
        time.sleep(_POLL_INTERVAL)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None
