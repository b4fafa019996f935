"""Reply, NotDelivered or OutcomeUnknown: what the caller learns is true, and comes in time."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import pytest

from fly_orm.deadline import Deadline
from fly_orm.errors import NotDelivered, OutcomeUnknown
from fly_orm.transport import Channel

from .interrupting import Interrupted, at_every_moment
from .setting import Setting
from .tools import HELD_TIMEOUT, SOON, Held, Node, ask, soon, until, within

#: Seconds within which a deadline that has passed is noticed.
SLACK = 5.0

#: How often a request is interrupted while it is being sent, and how long it is.
INTERRUPTIONS = 150
LONG_BYTES = 2 * 1024 * 1024


@contextmanager
def interrupted_when(event: threading.Event) -> Iterator[None]:
    """A block, on the main thread, that is interrupted once the event is set."""
    main = threading.main_thread().ident
    assert threading.get_ident() == main, "signals are handled on the main thread only"

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise Interrupted

    def watch() -> None:
        if event.wait(SOON) and main is not None:
            signal.pthread_kill(main, signal.SIGUSR1)

    previous = signal.signal(signal.SIGUSR1, interrupt)
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        watcher.join()
        signal.signal(signal.SIGUSR1, previous)


@contextmanager
def timed_out_after(seconds: float) -> Iterator[None]:
    """A block, on the main thread, that a TimeoutError interrupts unless it ends before that."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise TimeoutError("of the application")

    previous = signal.signal(signal.SIGALRM, interrupt)
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, seconds)
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        signal.signal(signal.SIGALRM, previous)


class Outcomes(Setting):
    """What happens when something goes wrong."""

    def test_where_nobody_listens_nothing_is_delivered(self, node: Node) -> None:
        address = node.serve().server.address
        node.server.close(0)
        began = time.monotonic()
        with pytest.raises(NotDelivered):
            within(2 * SOON, node.transport.connect, address, Deadline.after(1))
        assert time.monotonic() - began < 1 + SLACK

    def test_connecting_with_an_expired_deadline_is_not_delivered(self, node: Node) -> None:
        node.serve()
        with pytest.raises(NotDelivered):
            within(SOON, node.transport.connect, node.server.address, Deadline.after(0))

    def test_an_expired_deadline_means_not_delivered(self, node: Node) -> None:
        channel = node.serve().connect()
        with pytest.raises(NotDelivered):
            ask(channel, b"write", 0)
        node.server.close(SOON)
        assert node.requests == []

    @pytest.mark.parametrize("timeout", [None, 1e12])
    def test_a_deadline_may_be_far_away_or_never_come(self, node: Node, timeout: float | None) -> None:
        channel = node.serve().connect()
        assert within(SOON, channel.exchange, b"hello", Deadline.after(timeout)) == b"hello"

    def test_a_deadline_that_passes_while_the_server_works_leaves_the_outcome_unknown(self, node: Node) -> None:
        channel = node.serve(Held()).connect()
        ask_in_vain(channel, 1.0)
        node.gone(self.notice_timeout)
        assert node.responder.replied == 0, "gone() should be called while respond() runs"

    def test_a_reply_that_comes_too_late_is_never_anothers_reply(self, node: Node) -> None:
        held = Held()
        channel = node.serve(held).connect()
        ask_in_vain(channel, 1.0)
        held.released.set()
        until(lambda: node.responder.replied == 1)
        with pytest.raises(NotDelivered):
            ask(channel, b"next")

    def test_nothing_is_sent_again_after_the_deadline_has_passed(self, node: Node) -> None:
        held = Held()
        channel = node.serve(held).connect()
        ask_in_vain(channel, 1.0)
        held.released.set()
        node.server.close(SOON)
        assert node.requests == [b"write"]

    def test_an_interrupted_exchange_leaves_the_channel_unusable(self, node: Node) -> None:
        held = Held()
        channel = node.serve(held).connect()
        with pytest.raises(Interrupted), interrupted_when(held.started):
            channel.exchange(b"write", soon(HELD_TIMEOUT))
        with pytest.raises(NotDelivered):
            ask(channel, b"next")
        node.gone(self.notice_timeout)
        assert node.requests == [b"write"]

    # An interrupt just after the channel was opened leaves its socket to the garbage collector, and one in a destructor
    # is ignored.
    @pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
    def test_an_interrupt_at_any_moment_holds_up_no_other_caller(self, node: Node) -> None:
        """No lock that others need stays locked, and no thread of the transport waits for ever."""
        bystander = node.serve().connect()

        def use_a_channel() -> None:
            channel = node.transport.connect(node.server.address, soon())
            try:
                assert channel.exchange(b"?", soon()) == b"?"
            finally:
                channel.close()

        for _ in at_every_moment(use_a_channel):
            assert ask(bystander, b"!") == b"!"
            node.connect().close()

    # An interrupt just after the channel was taken leaves its socket to the garbage collector.
    @pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
    def test_what_is_not_delivered_is_not_executed_whatever_interrupts_the_caller(self, node: Node) -> None:
        """A signal handler may raise what a socket raises, just after the last bytes were sent."""
        if not self.crosses_processes:
            pytest.skip("the transport stays within one process, where nothing is sent")
        node.serve(lambda request: b"")
        began = time.monotonic()
        node.connect().exchange(b"?" * LONG_BYTES, soon())
        usual, undelivered = time.monotonic() - began, set()
        for number in range(INTERRUPTIONS):
            name = b"%03d" % number
            channel = node.connect()
            try:
                with timed_out_after(usual * (number + 1) / INTERRUPTIONS):
                    channel.exchange(name * (LONG_BYTES // len(name)), soon())
            except NotDelivered:
                undelivered.add(name)
            except (OutcomeUnknown, TimeoutError):
                pass
            channel.close()
        node.server.close(SOON)
        assert undelivered.isdisjoint(request[:3] for request in node.requests)

    def test_no_reply_means_that_the_connection_is_dropped(self, node: Node) -> None:
        channel = node.serve(lambda request: None).connect()
        began = time.monotonic()
        with pytest.raises(OutcomeUnknown):
            ask(channel, b"bad", HELD_TIMEOUT)
        assert time.monotonic() - began < self.notice_timeout
        node.gone(self.notice_timeout)
        assert node.requests == [b"bad"], "nothing should be sent again"
        with pytest.raises(NotDelivered):
            ask(channel, b"next")


def ask_in_vain(channel: Channel, timeout: float) -> None:
    """Send a request that the server holds back; the exchange ends in time, with an unknown outcome."""
    began = time.monotonic()
    with pytest.raises(OutcomeUnknown):
        within(timeout + SOON, channel.exchange, b"write", Deadline.after(timeout))
    assert timeout <= time.monotonic() - began < timeout + SLACK
