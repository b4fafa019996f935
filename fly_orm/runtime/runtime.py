"""Where this process runs, and its way to the nodes of other regions."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from ..forwarding.forwarder import Forwarder
from ..registry import make_transport
from ..settings import Settings


class Runtime:
    """Settings, and the forwarder that is made from them on first use, once per process. Thread-safe and fork-safe."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._lock = threading.Lock()
        self._forwarder: Forwarder | None = None
        _runtimes.add(self)

    @property
    def forwarder(self) -> Forwarder:
        """Sends statements and calls to the nodes of other regions."""
        with self._lock:
            if self._forwarder is None:
                self._forwarder = Forwarder(self.settings, make_transport(self.settings.transport))
            return self._forwarder

    def close(self) -> None:
        """Close the channels to other nodes; they are opened again when they are needed."""
        with self._lock:
            forwarder, self._forwarder = self._forwarder, None
        if forwarder is not None:
            forwarder.close()

    def after_fork(self) -> None:
        """Let go of the parent's channels without touching them."""
        self._lock = threading.Lock()
        self._inherited, self._forwarder = self._forwarder, None


_runtimes: weakref.WeakSet[Runtime] = weakref.WeakSet()
_here: ContextVar[Runtime] = ContextVar("fly_orm_runtime")
_default: Runtime | None = None
_default_lock = threading.Lock()


def current_runtime() -> Runtime:
    """That of the calling context: the node's own inside a function that it runs, else the process's."""
    return _here.get(None) or default_runtime()


def default_runtime() -> Runtime:
    """The process's: as :func:`configure` was told, else as the environment says when it is first asked."""
    global _default
    with _default_lock:
        if _default is None:
            _default = Runtime(Settings.from_environment())
        return _default


def configure(settings: Settings) -> None:
    """Take these settings instead of the environment's for all that is wrapped, served and called in this process.

    Call it when the application starts, before :func:`~fly_orm.wrap`. Not thread-safe.
    """
    _replace(Runtime(settings))


def forget() -> None:
    """Let the environment be read again, when it is next asked. For tests."""
    _replace(None)


def _replace(runtime: Runtime | None) -> None:
    global _default
    before, _default = _default, runtime
    if before is not None:
        before.close()


@contextmanager
def use_runtime(runtime: Runtime) -> Iterator[None]:
    """A block whose context is there."""
    token = _here.set(runtime)
    try:
        yield
    finally:
        _here.reset(token)


def _after_fork() -> None:
    global _default_lock
    _default_lock = threading.Lock()
    for each in list(_runtimes):
        each.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
