"""Functions that run in the primary region, or in any other, as one request."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, Generic, ParamSpec, TypeVar, overload

from ..runtime.regions import Region, name_of
from ..runtime.runtime import current_runtime
from ..sessions.wait import Wait
from .dispatching import CallOptions, dispatch
from .registering import Function, register, registered

P = ParamSpec("P")
R = TypeVar("R")


class OnPrimary(Generic[P, R]):
    """A function whose calls run in the primary region. Made by :func:`on_primary`."""

    def __init__(self, code: Callable[P, R], function: Function, options: CallOptions) -> None:
        functools.update_wrapper(self, code)
        self.function = function
        self.local = code
        """Runs the function here, wherever that is."""
        self._options = options

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        runtime = current_runtime()
        if runtime.settings.topology.is_primary:
            return self.local(*args, **kwargs)
        region = runtime.settings.topology.primary_region or ""
        result: R = dispatch(runtime, region, self.function, args, kwargs, self._options)
        return result

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """The method, as of any function."""
        if instance is None:
            return self
        bound = functools.partial(self, instance)
        bound.local = functools.partial(self.local, instance)  # type: ignore[attr-defined]  # a partial has attributes
        return bound

    def __reduce__(self) -> str:
        """Pickled by name, as any function."""
        return self.local.__qualname__

    def __repr__(self) -> str:
        return f"<on_primary {self.function.name}>"


@overload
def on_primary(code: Callable[P, R], /) -> OnPrimary[P, R]: ...
@overload
def on_primary(
    *, wait: Wait | None = None, timeout: float | str | None = "default", name: str | None = None
) -> Callable[[Callable[P, R]], OnPrimary[P, R]]: ...
def on_primary(
    code: Any = None,
    /,
    *,
    wait: Wait | None = None,
    timeout: float | str | None = "default",
    name: str | None = None,
) -> Any:
    """Let calls of a function run in the primary region, as one request, and return when the replica here shows it all.

    A decorator, bare or with arguments. In the primary region a call is a plain call; elsewhere the function runs on a
    node of the primary region, where its statements cost no round trip between regions, and its arguments, its result
    and the exception that it raises travel (:func:`fly_orm.register_type` says which types do). ``f.local(…)`` runs
    it here instead. It cannot be called inside a transaction, of which it would be no part.

    ``wait`` says whether the call returns once the local replica shows what the function wrote (``"write"``) or once
    it is committed (``"none"``), by default as each database does. ``timeout`` is the number of seconds that the
    function may take, the way there and back included; None is no limit, and the default is ``FLY_ORM_RPC_TIMEOUT``.
    ``name`` is what the nodes call it, by default its module and qualified name.

    The call raises NotDelivered or Refused if the function has certainly not run, OutcomeUnknown if it may have (it is
    never repeated), NotPortable if an argument cannot travel, ResultLost if it ran and its result cannot, and what the
    function raises. ConfigurationError when a lambda, a closure, a coroutine or a generator is decorated.
    """
    options = CallOptions(wait=wait, timeout=timeout)

    def decorate(code: Callable[P, R]) -> OnPrimary[P, R]:
        return OnPrimary(code, register(code, name), options)

    return decorate if code is None else decorate(code)


def call(
    region: Region,
    function: Callable[..., R],
    /,
    *args: Any,
    wait: Wait | None = None,
    timeout: float | str | None = "default",
    **kwargs: Any,
) -> R:
    """What the function returns in a region: :data:`fly_orm.PRIMARY`, or one by its name. In this one it just runs.

    The function is one that :func:`fly_orm.remote` or :func:`fly_orm.on_primary` has registered; everything else is as
    with :func:`fly_orm.on_primary`. Runs on a random node of the region that can be reached. Keyword arguments of the
    function that are called ``wait`` or ``timeout`` have to be passed by position.
    """
    options = CallOptions(wait=wait, timeout=timeout)
    code, args = _code_of(function, args)
    known = registered(code)
    runtime, name = current_runtime(), name_of(region)
    if name == runtime.settings.topology.region:
        return code(*args, **kwargs)  # type: ignore[no-any-return]
    result: R = dispatch(runtime, name, known, args, kwargs, options)
    return result


def _code_of(function: Any, args: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
    """The function itself, of what stands for it, and the arguments with the instance that a method belongs to."""
    if isinstance(function, functools.partial) and isinstance(function.func, OnPrimary) and not function.keywords:
        return function.func.local, (*function.args, *args)
    if inspect.ismethod(function):
        return function.__func__, (function.__self__, *args)
    return (function.local if isinstance(function, OnPrimary) else function), args
