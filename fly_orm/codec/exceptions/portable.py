"""Which exceptions may be raised on another node than the one where they were raised first."""

from __future__ import annotations

from ...errors import FlyOrmError

_NEVER = (StopIteration, StopAsyncIteration, FlyOrmError)


def is_portable(cls: type) -> bool:
    """Whether an exception of a class means the same on another node.

    One that ends a generator, a coroutine or a process would end the caller's. fly_orm's own exceptions say what became
    of a write of the function; raised by the call of the function, they would say it of the call.
    """
    return issubclass(cls, Exception) and not issubclass(cls, _NEVER)
