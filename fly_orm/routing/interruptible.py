"""A request that a signal handler of the application may interrupt."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from ..errors import FlyOrmError


class interruptible:  # noqa: N801  # it is used as contextlib.suppress is
    """A block with a request and what its reply changes here. Calls ``give_up`` with what has interrupted it.

    After an interrupt the caller does not know what is open on the primary. It must not stay open, with its locks: the
    request may be executed, and nobody reads its reply. A FlyOrmError is no interrupt: it says what became of the
    request.
    """

    __slots__ = ("_give_up",)

    def __init__(self, give_up: Callable[[BaseException], object]) -> None:
        self._give_up = give_up

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: TracebackType | None) -> None:
        if error is not None and not isinstance(error, FlyOrmError):
            self._give_up(error)
