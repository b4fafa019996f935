"""Where this process runs, and its way to the nodes of other regions."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from ..concurrency.forks import abandon_in_children
from ..forwarding.forwarder import Forwarder
from ..registry import make_transport
from ..settings import Settings


class Runtime:
    """Settings, and the forwarder that is made from them on first use, once per process. Thread-safe and fork-safe."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._lock = threading.Lock()
        self._forwarder: Forwarder | None = None
        abandon_in_children(self)

    @property
    def forwarder(self) -> Forwarder:
        """Sends statements and calls to the nodes of other regions."""
        with self._lock:
            if self._forwarder is None:
                self._forwarder = Forwarder(self.settings, make_transport(self.settings.transport, self.settings))
            return self._forwarder

    def close(self) -> None:
        """Close the channels to other nodes; they are opened again when they are needed."""
        with self._lock:
            forwarder, self._forwarder = self._forwarder, None
        if forwarder is not None:
            forwarder.close()

    def abandon(self) -> None:
        """Let go of the parent's channels in a forked process, and open others when they are needed."""
        self._lock, self._forwarder = threading.Lock(), None
        abandon_in_children(self)


class _Default:
    """The process's own runtime. Thread-safe and fork-safe."""

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


_here: ContextVar[Runtime] = ContextVar("fly_orm_runtime")
_default = _Default()


def current_runtime() -> Runtime:
    """That of the calling context: the node's own inside a function that it runs, else the process's."""
    return _here.get(None) or default_runtime()


def default_runtime() -> Runtime:
    """The process's: as :func:`configure` was told, else as the environment says when it is first asked."""
    return _default.get()


def configure(settings: Settings) -> None:
    """Take these settings instead of the environment's for all that is wrapped, served and called in this process.

    Call it when the application starts, before :func:`~fly_orm.wrap`. Not thread-safe.
    """
    _default.replace(Runtime(settings))


def forget() -> None:
    """Let the environment be read again, when it is next asked. For tests."""
    _default.replace(None)


@contextmanager
def use_runtime(runtime: Runtime) -> Iterator[None]:
    """A block whose context is there."""
    token = _here.set(runtime)
    try:
        yield
    finally:
        _here.reset(token)
