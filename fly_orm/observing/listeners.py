"""Who hears which event, and how it is told."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any

from ..concurrency.forks import abandon_in_children
from ..errors import ConfigurationError
from .event import Event
from .events import RequestStarted
from .observer import Observer

log = logging.getLogger("fly_orm")

#: The names of the methods that hear one kind of event each.
KINDS = tuple(name for name in vars(Observer) if not name.startswith("_") and name not in ("event", "read_timed"))
#: The most characters that a request carries for observers.
MAX_CONTEXT = 4096


#: The methods of observers that hear one kind of event.
Handlers = tuple[Callable[..., Any], ...]


class Listeners:
    """By the name of its method, who hears a kind of event: an empty tuple if nobody does.

    An event is emitted like this, and costs next to nothing if nobody hears it::

        if listeners.node_returned:
            emit(NodeReturned(node=…, seconds=…))
    """

    statement_started: Handlers
    statement_served: Handlers
    call_started: Handlers
    call_served: Handlers
    request_started: Handlers
    request_ended: Handlers
    wait_ended: Handlers
    read_fell_back: Handlers
    replica_late: Handlers
    replica_caught_up: Handlers
    unknown_outcome: Handlers
    channel_opened: Handlers
    channel_closed: Handlers
    channel_refused: Handlers
    node_set_aside: Handlers
    node_returned: Handlers
    request_received: Handlers
    request_executed: Handlers
    connection_lent: Handlers
    lease_opened: Handlers
    lease_ended: Handlers
    peer_connected: Handlers
    peer_gone: Handlers
    peer_refused: Handlers
    proof_failed: Handlers
    read_timed: Handlers
    """Who is told of a plain read on this region's server without an event; nobody if anybody needs the event."""
    statements: bool
    """Whether anybody hears that statements begin, or that they were served."""
    calls: bool
    """The same for calls of functions."""
    requests: bool
    """The same for requests to nodes, where they are sent."""
    executions: bool
    """The same for requests that a node executes."""

    __slots__ = (*KINDS, "calls", "executions", "read_timed", "requests", "statements")

    def __init__(self) -> None:
        self.take([])

    def take(self, observations: list[Observation]) -> None:
        """Let the observers of these hear, and no others."""
        for kind in KINDS:
            setattr(self, kind, tuple(handler for one in observations for handler in one.handlers.get(kind, ())))
        hearing = [one for one in observations if one.handlers["statement_started"] or one.handlers["statement_served"]]
        only_time = all(one.handlers["read_timed"] and not one.handlers["statement_started"] for one in hearing)
        self.read_timed = tuple(handler for one in hearing for handler in one.handlers["read_timed"] if only_time)
        self.statements = bool(hearing)
        self.calls = bool(self.call_started or self.call_served)
        self.requests = bool(self.request_started or self.request_ended)
        self.executions = bool(self.request_received or self.request_executed)


class Observation:
    """What :func:`observe` returns. It ends with :meth:`end`, or with the block if it is used in ``with``."""

    def __init__(self, observer: Observer) -> None:
        self.observer = observer
        self.handlers = {kind: _handlers(observer, kind) for kind in KINDS}
        self.handlers["read_timed"] = (observer.read_timed,) if _overrides(observer, "read_timed") else ()
        """By the name of the method, what hears that kind of event."""
        self.failed: list[Any] = []
        """The methods that have raised an exception."""

    def end(self) -> None:
        """Let the observer hear nothing more, except for what other threads are telling it just now."""
        with _present.lock:
            _present.observations = [other for other in _present.observations if other is not self]
            listeners.take(_present.observations)

    def __enter__(self) -> Observation:
        return self

    def __exit__(self, _kind: object, _error: BaseException | None, _traceback: TracebackType | None) -> None:
        self.end()


def _handlers(observer: Observer, kind: str) -> Handlers:
    return tuple(getattr(observer, name) for name in (kind, "event") if _overrides(observer, name))


def _overrides(observer: Observer, name: str) -> bool:
    return getattr(type(observer), name) is not getattr(Observer, name)


class _Present:
    """The observations that have not ended. Fork-safe."""

    def __init__(self) -> None:
        self.observations: list[Observation] = []
        self._begin()

    def _begin(self) -> None:
        self.lock = threading.Lock()
        abandon_in_children(self)

    def abandon(self) -> None:
        """Replace the lock in a forked child; another thread of the parent may have been about to change who hears."""
        self._begin()
        listeners.take(self.observations)


listeners = Listeners()
_present = _Present()


class _Thread(threading.local):
    tells = False
    """Whether this thread is telling observers of an event. What they do is not observed."""


_thread = _Thread()


def observe(observer: Observer) -> Observation:
    """Let an observer hear what fly_orm does in this process from now on. Thread-safe.

    Returns the :class:`Observation`, which ends it. ConfigurationError if ``observer`` is not an :class:`Observer`,
    hears nothing, or observes already.
    """
    if not isinstance(observer, Observer):
        raise ConfigurationError(f"observe() takes an instance of a subclass of fly_orm.Observer, and not {observer!r}")
    if not any(_overrides(observer, kind) for kind in (*KINDS, "event")):
        raise ConfigurationError(
            f"{type(observer).__name__} defines none of the methods of fly_orm.Observer, so it would hear nothing; "
            f"they are event, {', '.join(KINDS)}"
        )
    with _present.lock:
        if observation_of(observer) is not None:
            raise ConfigurationError(f"{observer!r} observes already")
        observation = Observation(observer)
        _present.observations = [*_present.observations, observation]
        listeners.take(_present.observations)
    return observation


def observation_of(observer: Observer) -> Observation | None:
    """The observation of an observer; None if it does not observe."""
    return next((each for each in _present.observations if each.observer is observer), None)


def emit(event: Event) -> None:
    """Tell everybody who hears this kind of event. Raises only interrupts; see :func:`_interrupt`."""
    _tell(getattr(listeners, event.heard_by), event)


def tell_timed(database: str, seconds: float) -> None:
    """Tell of a plain read without an event. Raises only interrupts."""
    _tell(listeners.read_timed, database, seconds)


def context_of(event: RequestStarted) -> dict[str, str]:
    """Tell that a request starts; returns what it is to carry for its observers. Raises only interrupts."""
    context: dict[str, str] = {}

    def carry(handler: Any, returned: Any) -> None:
        if isinstance(returned, Mapping) and is_small({**context, **returned}):
            context.update(returned)
        elif returned:
            _warn_of_context(handler)

    _tell(listeners.request_started, event, heed=carry)
    return context


def _tell(handlers: Handlers, *news: Any, heed: Callable[[Any, Any], None] | None = None) -> None:
    """Call each of the methods; ``heed`` is given each of them with what it returned."""
    if _thread.tells:
        return
    _thread.tells = True
    interrupt = None
    try:
        for handler in handlers:
            try:
                returned = handler(*news)
                if heed is not None:
                    heed(handler, returned)
            except BaseException as error:  # noqa: BLE001  # an observer may raise anything, and harms nobody
                interrupt = _interrupt(handler, error) or interrupt
    finally:
        _thread.tells = False
    if interrupt is not None:
        raise interrupt


def is_small(context: Mapping[str, str]) -> bool:
    """Whether a request may carry this."""
    texts = all(isinstance(text, str) for pair in context.items() for text in pair)
    return texts and sum(len(name) + len(text) for name, text in context.items()) <= MAX_CONTEXT


def _interrupt(handler: Any, error: BaseException) -> BaseException | None:
    """What an observer has raised, if it has to be raised again once all others have heard the event.

    That is what may have come from outside while the observer ran: from a signal handler, or from gevent's Timeout.
    Signal handlers run on the main thread. On another one, such as those of a node, only the observer itself can have
    raised SystemExit, which would end that thread in the midst of its work.
    """
    ours = isinstance(error, SystemExit) and threading.current_thread() is not threading.main_thread()
    if not isinstance(error, Exception) and not ours:
        return error
    _note_failure(handler, error)
    return None


def _note_failure(handler: Any, error: BaseException) -> None:
    if _is_first(handler):
        with suppress(Exception):  # a log handler of the application's may raise, too
            log.error(
                "%s raised an exception; others that it raises are not logged",
                _name(handler),
                exc_info=error,
                extra={"event": "observer_failed", "observer": _name(handler)},
            )


def _warn_of_context(handler: Any) -> None:
    if _is_first(handler):
        with suppress(Exception):
            log.warning(
                "%s must return a mapping of str to str, with at most %d characters in all; what it returned does not "
                "travel",
                _name(handler),
                MAX_CONTEXT,
                extra={"event": "observer_context_refused", "observer": _name(handler)},
            )


def _name(handler: Any) -> str:
    return getattr(handler, "__qualname__", None) or repr(handler)


def _is_first(handler: Any) -> bool:
    """Whether a method has not failed before. Thread-safe."""
    with _present.lock:
        for observation in _present.observations:
            if handler not in observation.failed and any(handler in each for each in observation.handlers.values()):
                observation.failed.append(handler)
                return True
    return False
