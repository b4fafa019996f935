"""The session of the calling context.

A session belongs to a context (:mod:`contextvars`): each thread has its own, and so has each asyncio task.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from sys import modules as _modules
from typing import Any

from .invocation import Invocation
from .session import Session, current_task

_current: ContextVar[Session] = ContextVar("fly_orm_session")
#: What returns the event loop that runs in this thread; None until somebody has imported asyncio, which takes long.
_running_loop: Callable[[], Any] | None = None


def current() -> Session:
    """The session of the calling context, begun now if there is none.

    A task started from the session of another task, or of a thread, begins with what that session has seen. A thread
    that runs in a copy of a task's context, as with ``asyncio.to_thread``, uses the task's own session.
    """
    session = _current.get(None)
    if session is not None:
        # Each local read gets here, and asking for the task itself would cost it a call more.
        if _running_loop is None and "asyncio" in _modules:
            _find_asyncio()
        if _running_loop is None or _running_loop() is None:
            return session
        task = current_task()
        if task is None or session.task is task:
            return session
    session = Session() if session is None else session.child()
    _current.set(session)
    return session


def _find_asyncio() -> None:
    global _running_loop
    # While another thread is importing asyncio, the module lacks its functions, and no loop can be running here.
    _running_loop = getattr(_modules.get("asyncio"), "_get_running_loop", None)


def known() -> Session | None:
    """The session of the calling context; None if none has begun."""
    return _current.get(None)


def current_invocation() -> Invocation | None:
    """The invocation that this code is part of; None outside of functions that run for a caller elsewhere."""
    session = _current.get(None)
    return None if session is None else session.invocation


def enter(session: Session) -> None:
    """Make this the session of the calling context."""
    _current.set(session)


@contextmanager
def entered(session: Session) -> Iterator[None]:
    """A block whose context has this session."""
    token = _current.set(session)
    try:
        yield
    finally:
        _current.reset(token)
