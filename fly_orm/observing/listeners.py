"""Who hears which event, and how it is told."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any

from ..errors import ConfigurationError
from .event import Event
from .events import RequestStarted
from .observer import Observer

log = logging.getLogger("fly_orm")

#: The names of the methods that hear one kind of event each.
KINDS = tuple(name for name in vars(Observer) if not name.startswith("_") and name != "event")
#: The most characters that a request carries for observers.
MAX_CONTEXT = 4096


class _Ear:
    """A method of an observer's. It never raises an Exception, and logs the first one."""

    __slots__ = ("_failed", "_method")

    def __init__(self, method: Callable[[Any], Any]) -> None:
        self._method = method
        self._failed = False

    def __call__(self, event: Event) -> Any:
        try:
            return self._method(event)
        except Exception as error:
            if not self._failed:
                self._failed = True
                with suppress(Exception):  # a log handler of the application's may raise, too
                    log.error(
                        "%s raised an exception; others that it raises are not logged",
                        getattr(self._method, "__qualname__", self._method),
                        exc_info=error,
                    )
            return None


Ears = tuple[_Ear, ...]


class Listeners:
    """By the name of its method, who hears a kind of event: an empty tuple if nobody does.

    An event is emitted like this, and costs next to nothing if nobody hears it::

        if listeners.node_returned:
            emit(NodeReturned(node=…, seconds=…))
    """

    statement_started: Ears
    statement_served: Ears
    call_started: Ears
    call_served: Ears
    request_started: Ears
    request_ended: Ears
    wait_ended: Ears
    read_fell_back: Ears
    replica_late: Ears
    replica_caught_up: Ears
    unknown_outcome: Ears
    channel_opened: Ears
    channel_closed: Ears
    channel_refused: Ears
    node_set_aside: Ears
    node_returned: Ears
    request_received: Ears
    request_executed: Ears
    connection_lent: Ears
    lease_opened: Ears
    lease_ended: Ears
    peer_connected: Ears
    peer_gone: Ears
    peer_refused: Ears
    proof_failed: Ears
    statements: bool
    """Whether anybody hears that statements begin, or that they were served."""
    calls: bool
    """The same for calls of functions."""
    requests: bool
    """The same for requests to nodes, where they are sent."""
    executions: bool
    """The same for requests that a node executes."""

    __slots__ = (*KINDS, "calls", "executions", "requests", "statements")

    def __init__(self) -> None:
        self.take([])

    def take(self, observations: list[Observation]) -> None:
        """Let the observers of these hear, and no others."""
        for kind in KINDS:
            setattr(self, kind, tuple(ear for one in observations for ear in one.ears.get(kind, ())))
        self.statements = bool(self.statement_started or self.statement_served)
        self.calls = bool(self.call_started or self.call_served)
        self.requests = bool(self.request_started or self.request_ended)
        self.executions = bool(self.request_received or self.request_executed)


class Observation:
    """What :func:`observe` returns. It ends with :meth:`end`, or with the block if it is used in ``with``."""

    def __init__(self, observer: Observer) -> None:
        self.observer = observer
        self.ears = {kind: _ears(observer, kind) for kind in KINDS}
        """By the name of the method, what hears that kind of event."""

    def end(self) -> None:
        """Let the observer hear nothing more. What other threads are telling it now, it still hears."""
        with _lock:
            _observations[:] = [other for other in _observations if other is not self]
            listeners.take(_observations)

    def __enter__(self) -> Observation:
        return self

    def __exit__(self, _kind: object, _error: BaseException | None, _traceback: TracebackType | None) -> None:
        self.end()


def _ears(observer: Observer, kind: str) -> Ears:
    return tuple(_Ear(getattr(observer, name)) for name in (kind, "event") if _overrides(observer, name))


def _overrides(observer: Observer, name: str) -> bool:
    return getattr(type(observer), name) is not getattr(Observer, name)


listeners = Listeners()
_observations: list[Observation] = []
_lock = threading.Lock()
_thread = threading.local()


def observe(observer: Observer) -> Observation:
    """Let an observer hear what fly_orm does in this process from now on. Thread-safe.

    Returns what ends that. ConfigurationError if it is not an :class:`Observer`, hears nothing, or observes already.
    """
    if not isinstance(observer, Observer):
        raise ConfigurationError(f"observe() takes an instance of a subclass of fly_orm.Observer, and not {observer!r}")
    if not any(_overrides(observer, kind) for kind in (*KINDS, "event")):
        raise ConfigurationError(
            f"{type(observer).__name__} defines none of the methods of fly_orm.Observer, so it would hear nothing; "
            f"they are event, {', '.join(KINDS)}"
        )
    with _lock:
        if any(observer is other.observer for other in _observations):
            raise ConfigurationError(f"{observer!r} observes already")
        observation = Observation(observer)
        _observations.append(observation)
        listeners.take(_observations)
    return observation


def emit(event: Event) -> None:
    """Tell everybody who hears this kind of event. Raises no Exception."""
    _tell(event)


def context_of(event: RequestStarted) -> dict[str, str]:
    """Tell that a request starts; returns what it is to carry for its observers. Raises no Exception."""
    context: dict[str, str] = {}
    with suppress(Exception):
        for returned in _tell(event):
            context.update(returned or {})
        if is_small(context):
            return context
    _warn_of_context()
    return {}


def is_small(context: Mapping[str, str]) -> bool:
    """Whether a request may carry this."""
    texts = all(isinstance(text, str) for pair in context.items() for text in pair)
    return texts and sum(len(name) + len(text) for name, text in context.items()) <= MAX_CONTEXT


def _tell(event: Event) -> list[Any]:
    """What the methods return that hear the event; nothing is told while this thread tells something else."""
    if getattr(_thread, "tells", False):
        return []
    _thread.tells = True
    try:
        return [ear(event) for ear in getattr(listeners, event.heard_by)]
    finally:
        _thread.tells = False


def _warn_of_context() -> None:
    with suppress(Exception):
        log.warning(
            "what observers return from request_started() has to be texts of at most %d characters in all; it does not "
            "travel",
            MAX_CONTEXT,
        )
