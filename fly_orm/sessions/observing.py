"""The one place that every statement and every call passes once it is known how it is served."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .served import Served
from .session import Session


def observe(session: Session, event: Served) -> None:
    """Record how a statement or a call of this session is served; :func:`fly_orm.why` returns the last one."""
    session.served = event


@contextmanager
def unobserved(session: Session) -> Iterator[None]:
    """A block whose statements are an adapter's own and not the caller's: :func:`fly_orm.why` does not show them."""
    served = session.served
    try:
        yield
    finally:
        session.served = served
