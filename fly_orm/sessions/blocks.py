"""What applications use of sessions: blocks, and the question how a statement was served."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from ..errors import check_choice
from .activity import ActivityLog
from .context import begun, current, known
from .served import Served
from .session import Session
from .wait import WAITS, Wait


@contextmanager
def session() -> Iterator[None]:
    """A block with a session of its own, which has seen nothing when it begins: one request of one user, say.

    Without such a block a session lasts as long as the thread or the asyncio task, which suits scripts, and servers
    that use one thread or task per request. Blocks of other kinds around it, such as :func:`primary`, have no effect
    inside. If blocks of this kind are nested, :func:`fly_orm.token` in the outer one also covers what the inner one has
    seen.
    """
    outer = known()
    inner = Session(ActivityLog() if outer is None or outer.invocation is None else outer.invocation)
    try:
        with begun(inner):
            yield
    finally:
        if outer is not None and outer.activity is not None:
            outer.absorb(inner)


@contextmanager
def wait_for(when: Wait) -> Iterator[None]:
    """A block in which ``when`` replaces the ``wait`` option of every database; see :func:`fly_orm.wrap`.

    Raises ConfigurationError if ``when`` is not ``"write"``, ``"read"`` or ``"none"``.
    """
    check_choice("wait_for()", when, *WAITS)
    with current().waiting(when):
        yield


def primary() -> AbstractContextManager[None]:
    """A block whose statements all run on the primary, reads included.

    For reads that must not lag, and for functions that write but hide the replica's refusal from their caller, such as
    a PL/pgSQL block with ``EXCEPTION WHEN OTHERS``.
    """
    return _reading(on_primary=True)


def replica() -> AbstractContextManager[None]:
    """A block whose reads stay on the local replica, even if it lags behind what the session has seen.

    For reads that may be stale but must not wait or cross to the primary region. Transactions run where they would
    run without the block.
    """
    return _reading(on_primary=False)


@contextmanager
def _reading(*, on_primary: bool) -> Iterator[None]:
    with current().reading(on_primary=on_primary):  # of the context that enters the block, as decorators need
        yield


def why() -> Served | None:
    """How the last statement or call of this context was served; None before the first."""
    return current().served
