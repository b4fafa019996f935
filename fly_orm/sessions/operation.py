"""Blocks that name what the application is about to do, so that it is done once, however often it is tried."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from ..concurrency.nesting import Nesting
from ..errors import ConfigurationError, NotSupported

#: The longest key, in characters.
LONGEST_KEY = 250
#: What the ids of requests begin with.
_OWN = "fly_orm:"


class Operation:
    """One write, transaction or call with a key of the application's."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.done = False
        """Whether it was committed in this block, or was found to have been committed before."""
        self.executing = threading.Lock()
        """Held while its write or call is executed."""

    def begin(self) -> None:
        """Raise NotSupported if the block has been used for another write, transaction or call."""
        if self.done:
            raise self.holds_one("is done")

    def holds_one(self, why_not: str) -> NotSupported:
        """The error for one write too many."""
        return NotSupported(
            f"the operation {self.key!r} {why_not}: a block of fly_orm.operation() holds one write, one transaction "
            "or one call. Nothing was sent. Make several writes one transaction, or give each a block of its own"
        )


_NO_OPERATION: AbstractContextManager[None] = nullcontext()
#: Operations, and by name what is recorded as a whole, such as a call of a function.
_blocks: Nesting[Operation | str] = Nesting("fly_orm_operations")


@contextmanager
def operation(operation_key: str) -> Iterator[Operation]:
    """A block that belongs to an operation; see :func:`fly_orm.operation`. ConfigurationError for a bad key."""
    own = new_operation(operation_key)
    with _blocks.block(own):
        yield own


def new_operation(key: str) -> Operation:
    """An operation; NotSupported inside of another one or of an exactly-once call, as its key would not be taken."""
    operation, outer = Operation(check_key(key)), _blocks.innermost()
    if isinstance(outer, str):
        raise NotSupported(
            f"the operation {key!r} begins inside of {outer}, which is executed exactly once as a whole, so that the "
            "key would not be taken. Nothing was sent. Give the key to the outer call: operation_key=…"
        )
    if outer is not None:
        raise NotSupported(
            f"the operation {key!r} begins inside of another, {outer.key!r}. Nothing was sent. End that block first, "
            "or make both one operation with one key"
        )
    return operation


def executing(
    operation: Operation | None, as_error: Callable[[NotSupported], Exception]
) -> AbstractContextManager[None]:
    """A block in which an operation, if any, is executed. NotSupported if another thread or task does the same.

    In the ledger, an equal write would count as a repetition, and return what the first one returns. ``as_error`` makes
    the exception to raise.
    """
    return _NO_OPERATION if operation is None else _executing(operation, as_error)


@contextmanager
def _executing(operation: Operation, as_error: Callable[[NotSupported], Exception]) -> Iterator[None]:
    if not operation.executing.acquire(blocking=False):
        raise as_error(operation.holds_one("is being executed by another thread or task"))
    try:
        if operation.done:  # since it was begun
            raise as_error(operation.holds_one("is done"))
        yield
    finally:
        operation.executing.release()


@contextmanager
def recorded_whole(what: str) -> Iterator[None]:
    """A block that is recorded as a whole: what runs in it belongs to no operation, and no other can begin there.

    ``what`` names it in messages.
    """
    with _blocks.block(what):
        yield


def is_recorded() -> bool:
    """Whether this code is part of a function that is recorded, and of its transaction."""
    return isinstance(_blocks.innermost(), str)


def current_operation() -> Operation | None:
    """The operation of the block that this code is in; None outside of such blocks."""
    if not _blocks.entered.get():  # each statement asks
        return None
    innermost = _blocks.innermost()
    return innermost if isinstance(innermost, Operation) else None


def check_key(key: str) -> str:
    """The key itself; ConfigurationError if it cannot be one."""
    if not isinstance(key, str) or not 0 < len(key) <= LONGEST_KEY or not key.isprintable() or key.startswith(_OWN):
        raise ConfigurationError(
            f"an operation key must be a text of 1 to {LONGEST_KEY} printable characters, which does not begin with "
            f"{_OWN!r}, not {key!r:.300}"
        )
    return key
