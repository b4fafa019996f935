"""A request that a signal handler of the application may interrupt."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..errors import FlyOrmError


@contextmanager
def interruptible(give_up: Callable[[BaseException], object]) -> Iterator[None]:
    """A block with a request and what its reply changes here. Calls ``give_up`` with what has interrupted it.

    After an interrupt the caller does not know what is open on the primary. It must not stay open, with its locks: the
    request may be executed, and nobody reads its reply.
    """
    try:
        yield
    except FlyOrmError:  # which says what became of the request
        raise
    except BaseException as error:
        give_up(error)
        raise
