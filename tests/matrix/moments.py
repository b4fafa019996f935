"""When the fault happens."""

from __future__ import annotations

from abc import ABC, abstractmethod

from tests.matrix.faults import Fault
from tests.matrix.link import Stop, Trap
from tests.matrix.operations import Operation
from tests.matrix.world import World
from tests.support.waiting import PATIENCE, until

#: More than fits into the buffers of the sockets between two processes.
LARGE = 6 * 1024 * 1024


class Moment(ABC):
    """Stops everything at one moment of a call."""

    title: str
    padding = 0
    """Bytes that the request has to have."""
    delays = False
    """Whether the primary goes on when the caller may have given up."""

    @abstractmethod
    def arm(self, world: World, operation: Operation, name: str, *, ledger: bool) -> None:
        """Make everything stop at the moment."""

    @abstractmethod
    def wait(self, world: World) -> None:
        """Return when everything has stopped."""

    @abstractmethod
    def go_on(self, world: World, fault: Fault) -> None:
        """Let everything go on, as far as it can after the fault."""

    def settle(self, world: World, fault: Fault) -> None:  # noqa: B027  # most have nothing to do
        """Return when the node has done what it does by itself after the call has ended."""


class BeforeSend(Moment):
    title = "before it is sent"

    def arm(self, world: World, operation: Operation, name: str, *, ledger: bool) -> None:
        pass

    def wait(self, world: World) -> None:
        pass

    def go_on(self, world: World, fault: Fault) -> None:
        pass


class Stopped(Moment):
    """A message is stopped on its way."""

    on_link = "to_node"
    stop: Stop
    trap: Trap

    def __init__(self) -> None:
        self.trap = Trap(mark=b"", stop=self.stop)

    def arm(self, world: World, operation: Operation, name: str, *, ledger: bool) -> None:
        self.trap.mark = operation.mark(name)
        getattr(world, self.on_link).stop_at(self.trap)

    def wait(self, world: World) -> None:
        assert self.trap.sprung.wait(PATIENCE), f"the moment {self.title} has not come"

    def go_on(self, world: World, fault: Fault) -> None:
        self.trap.drops = fault.drops
        self.trap.released.set()


class WhileSending(Stopped):
    title, stop, padding = "while it is sent", Stop.PARTLY, LARGE


class AfterSend(Stopped):
    title, stop = "after it was sent", Stop.UNSENT


class DuringExecution(Moment):
    title, delays = "while it executes", True

    def arm(self, world: World, operation: Operation, name: str, *, ledger: bool) -> None:
        world.hold(operation.lock)

    def wait(self, world: World) -> None:
        until(world.waits, "nothing waits on the primary")

    def go_on(self, world: World, fault: Fault) -> None:
        if fault.lets_go:
            world.let_go()

    def settle(self, world: World, fault: Fault) -> None:
        if fault.cancels:
            until(lambda: not world.waits(), "the node has not cancelled it")


class Replying(Stopped):
    """The reply is stopped on its way."""

    def __init__(self) -> None:
        self.trap = Trap(mark=b"", stop=self.stop, reply=self.is_reply)

    def is_reply(self, message: bytes) -> bool:
        """Whether this is the reply to the request."""
        return True


class AfterCommit(Replying):
    """The primary has executed it, and the node does not know that yet."""

    title, stop, on_link = "after it was executed", Stop.UNSENT, "to_primary"

    def arm(self, world: World, operation: Operation, name: str, *, ledger: bool) -> None:
        super().arm(world, operation, name, ledger=ledger)
        if ledger:  # then everything ends with a COMMIT
            self.trap.mark = b"COMMIT"

    def is_reply(self, message: bytes) -> bool:
        return message[:1] == b"C" and (self.trap.mark != b"COMMIT" or b"COMMIT" in message[:12])


class WhileReplying(Replying):
    title, stop = "while the reply is sent", Stop.PARTLY


class DuringWait(Replying):
    title, stop = "while it waits for the replica", Stop.ARRIVED

    def arm(self, world: World, operation: Operation, name: str, *, ledger: bool) -> None:
        world.cluster.pause_replay()
        super().arm(world, operation, name, ledger=ledger)

    def go_on(self, world: World, fault: Fault) -> None:
        world.cluster.resume_replay()


MOMENTS: dict[str, type[Moment]] = {
    "before": BeforeSend,
    "sending": WhileSending,
    "sent": AfterSend,
    "executing": DuringExecution,
    "executed": AfterCommit,
    "replying": WhileReplying,
    "waiting": DuringWait,
}
