"""The session of the calling context.

A session belongs to a context (:mod:`contextvars`): each thread has its own, and so has each asyncio task.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from sys import modules as _modules

from .activity import ActivityLog
from .invocation import Invocation
from .session import Session, current_task

_current: ContextVar[Session] = ContextVar("fly_orm_session")


def current() -> Session:
    """The session of the calling context, begun now if there is none.

    A task started from the session of another task, or of a thread, begins with what that session has seen. A thread
    that runs in a copy of a task's context, as with ``asyncio.to_thread``, uses the task's own session.
    """
    session = _current.get(None)
    if session is not None:
        asyncio = _modules.get("asyncio")
        try:
            if asyncio is None or asyncio._get_running_loop() is None:
                return session  # there is no task; asking current_task() would cost each local read a call more
        except AttributeError:  # another thread is importing asyncio just now, so no loop can be running here
            return session
        task = current_task()
        if task is None or session.task is task:
            return session
    session = Session() if session is None else session.child()
    _current.set(session)
    return session


def known() -> Session | None:
    """The session of the calling context; None if none has begun."""
    return _current.get(None)


def current_invocation() -> Invocation | None:
    """The invocation that this code is part of; None outside of functions that run for a caller elsewhere."""
    session = _current.get(None)
    return None if session is None else session.invocation


def current_activity() -> ActivityLog | None:
    """The log of what this code does directly on a primary; None if nobody will ask for it."""
    session = _current.get(None)
    return None if session is None else session.activity


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
