"""Which exceptions may be raised on another node than the one that they come from."""

from __future__ import annotations

from ..errors import FlyOrmError

_NEVER = (StopIteration, StopAsyncIteration, FlyOrmError)


def may_travel(cls: type) -> bool:
    """Whether an instance of a class means on another node what it means here.

    What ends a generator, a coroutine or a process would end the caller's. fly_orm's own errors say what became of the
    write of the function that raised them; raised by its caller, they would say it of the call.
    """
    return issubclass(cls, Exception) and not issubclass(cls, _NEVER)
