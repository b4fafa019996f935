"""The settings that code runs under, and the forwarder that belongs to them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from weakref import WeakSet

from ..concurrency.forks import abandon_in_children
from ..forwarding.fence import Fence
from ..forwarding.forwarder import Forwarder
from ..registry import make_transport
from ..settings import Settings
from .announcing import Announcer


class Runtime:
    """Settings, and a forwarder to other nodes that is made from them on first use. Thread-safe and fork-safe.

    A process has one runtime by default. A node that was given settings of its own has another one, and so has a
    database.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.fence = Fence()
        """The newest timelines that were seen with these settings."""
        self.announcer = Announcer(settings)
        """Logs what a process finds when it starts."""
        self._lock = threading.Lock()
        self._forwarder: Forwarder | None = None
        _runtimes.add(self)
        abandon_in_children(self)

    @property
    def forwarder(self) -> Forwarder:
        """The forwarder; each process makes its own."""
        if (forwarder := self._forwarder) is not None:  # without the lock, for all requests but the first
            return forwarder
        with self._lock:
            if self._forwarder is None:
                self._forwarder = Forwarder(
                    self.settings, make_transport(self.settings.transport, self.settings), self.fence
                )
            return self._forwarder

    def close(self) -> None:
        """Close the channels to other nodes. They are opened again when they are needed."""
        with self._lock:
            forwarder, self._forwarder = self._forwarder, None
        if forwarder is not None:
            forwarder.close()

    def abandon(self) -> None:
        """Leave the channels to the parent after a fork. This process opens others when it needs them."""
        self._lock, self._forwarder = threading.Lock(), None
        abandon_in_children(self)


_runtimes: WeakSet[Runtime] = WeakSet()


def open_forwarders() -> list[Forwarder]:
    """The forwarders of this process that anything has needed."""
    return [forwarder for runtime in list(_runtimes) if (forwarder := runtime._forwarder) is not None]


class _Default:
    """The runtime of the process, made when it is first asked for. Thread-safe and fork-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runtime: Runtime | None = None
        abandon_in_children(self)

    def get(self) -> Runtime:
        with self._lock:
            if self._runtime is None:
                self._runtime = Runtime(Settings.from_environment())
            return self._runtime

    def replace(self, runtime: Runtime | None) -> None:
        before, self._runtime = self._runtime, runtime
        if before is not None:
            before.close()

    def abandon(self) -> None:
        self._lock = threading.Lock()
        abandon_in_children(self)


_current: ContextVar[Runtime] = ContextVar("fly_orm_runtime")
_default = _Default()


def current_runtime() -> Runtime:
    """The runtime of the calling context: inside an invocation that of the node, otherwise that of the process."""
    return _current.get(None) or default_runtime()


def default_runtime() -> Runtime:
    """The runtime of the process, with the settings of :func:`configure`, or else those of the environment."""
    return _default.get()


def configure(settings: Settings) -> None:
    """Make these the settings of this process, instead of those that the environment gives.

    They apply to databases that are wrapped or served from now on, and to calls. Call it when the application starts,
    before :func:`~fly_orm.wrap`. Not thread-safe.
    """
    _default.replace(Runtime(settings))


def forget() -> None:
    """Close the runtime of the process. The next one reads the environment again. For tests."""
    _default.replace(None)


@contextmanager
def use_runtime(runtime: Runtime) -> Iterator[None]:
    """A block in which ``runtime`` is the current one."""
    token = _current.set(runtime)
    try:
        yield
    finally:
        _current.reset(token)
