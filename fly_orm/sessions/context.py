"""The session of the calling context.

A session belongs to a context (:mod:`contextvars`): each thread has its own, and so has each asyncio task.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from sys import modules as _modules
from typing import Any

from ..concurrency.nesting import Entered, Nesting
from .invocation import Invocation
from .session import LEFT, Session, current_task

_current: ContextVar[Session | None] = ContextVar("fly_orm_session", default=None)
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
        if session.task is LEFT:
            return _after(session)
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
    """A block whose context has this session. After it, the context is as before, whatever was begun and not ended."""
    token = _current.set(session)
    try:
        yield
    finally:
        with suppress(ValueError):  # it ends in another context, as that of an asynchronous generator may
            _current.reset(token)


class _Begun:
    """A session that lasts as long as a block, and what the block was entered in."""

    __slots__ = ("before", "outer", "session")

    def __init__(self, session: Session) -> None:
        self.session = session
        self.before = _current.get()
        """The session that the context had before."""
        self.outer = _begun.innermost()
        """The block around this one."""

    def outside(self) -> Session | None:
        """The session that this context has without this block, and without those around it that were left first."""
        still_open = [each.value for each in _begun.open()]
        before, outer = self.before, self.outer
        while outer is not None and outer not in still_open:
            before, outer = outer.before, outer.outer
        return before


_begun: Nesting[_Begun] = Nesting("fly_orm_session_blocks")


@contextmanager
def begun(session: Session) -> Iterator[None]:
    """A block whose context has a session of its own, which ends with it."""
    with _begun.block(_Begun(session), _ended):
        _current.set(session)
        yield


def _ended(entered: Entered[_Begun]) -> None:
    block, session = entered.value, _current.get()
    if session is not None and session.is_part_of(block.session):  # and not of a block inside that is still open
        _current.set(block.outside())
    if entered.is_over:
        block.session.task = LEFT


def _after(session: Session) -> Session:
    """The session of this task, whose own was ended by another one, as the event loop ends asynchronous generators."""
    block = next((each.value for each in reversed(_begun.entered.get()) if each.value.session is session), None)
    _current.set(None if block is None else block.outside())
    return current()
