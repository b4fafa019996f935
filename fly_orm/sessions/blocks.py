"""The blocks by which a caller says how it wants its statements served."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from ..errors import check_choice
from .activity import ActivityLog
from .context import current, entered, known
from .served import Served
from .session import Session
from .wait import WAITS, Wait


@contextmanager
def session() -> Iterator[None]:
    """A block with a session of its own, which begins with nothing seen: one request of one user, say.

    Within another such block, that one's :func:`fly_orm.token` tells what was seen in this one, too.

    Without it a session lasts as long as the thread, or the task, which is right for scripts and for servers that use a
    thread or a task for each request.
    """
    outer = known()
    inner = Session(ActivityLog() if outer is None or outer.invocation is None else outer.invocation)
    try:
        with entered(inner):
            yield
    finally:
        if outer is not None and outer.activity is not None:
            outer.absorb(inner)


@contextmanager
def wait_for(when: Wait) -> Iterator[None]:
    """Inside this block, ``when`` takes the place of the ``wait`` of every database: see :func:`fly_orm.wrap`."""
    check_choice("wait_for()", when, *WAITS)
    here = current()
    before, here.wait = here.wait, when
    try:
        yield
    finally:
        here.wait = before


def primary() -> AbstractContextManager[None]:
    """Inside this block, every statement of this context runs on the primary, reads included.

    For reads that must not lag, and for functions that write and hide the replica's refusal from their caller, such as
    a PL/pgSQL block with ``EXCEPTION WHEN OTHERS``.
    """
    return _reading(on_primary=True)


def replica() -> AbstractContextManager[None]:
    """Inside this block, reads stay on the local replica, however much less it shows than the session has seen.

    For reads that would rather be old than wait, or than go to the primary region. Transactions run where they would.
    """
    return _reading(on_primary=False)


@contextmanager
def _reading(*, on_primary: bool) -> Iterator[None]:
    here = current()
    before = here.on_primary, here.on_replica
    here.on_primary, here.on_replica = on_primary, not on_primary
    try:
        yield
    finally:
        here.on_primary, here.on_replica = before


def why() -> Served | None:
    """How the last statement of this context was served; None before the first, and on an unrouted database."""
    return current().served
