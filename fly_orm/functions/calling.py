"""Calls of functions that run in the primary region, or in any other, as one request."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, ParamSpec, Protocol, TypeVar, overload

from ..runtime.regions import PRIMARY, Region
from ..runtime.runtime import current_runtime
from ..sessions.running import running_call
from ..sessions.wait import Wait
from .decorated import BoundOnPrimary, ClassMethodOnPrimary, OnPrimary, StaticMethodOnPrimary
from .dispatching import CallOptions, call_here, dispatch
from .locating import is_next_to_primary
from .registering import register, registered

P = ParamSpec("P")
C = TypeVar("C")
R = TypeVar("R")


class Decorator(Protocol):
    """What :func:`on_primary` with arguments returns."""

    @overload
    def __call__(self, code: classmethod[C, P, R], /) -> ClassMethodOnPrimary[P, R]: ...
    @overload
    def __call__(  # type: ignore[overload-overlap]  # it is callable, too
        self, code: staticmethod[P, R], /
    ) -> StaticMethodOnPrimary[P, R]: ...
    @overload
    def __call__(self, code: Callable[P, R], /) -> OnPrimary[P, R]: ...


@overload
def on_primary(code: classmethod[C, P, R], /) -> ClassMethodOnPrimary[P, R]: ...
@overload
def on_primary(  # type: ignore[overload-overlap]  # it is callable, too
    code: staticmethod[P, R], /
) -> StaticMethodOnPrimary[P, R]: ...
@overload
def on_primary(code: Callable[P, R], /) -> OnPrimary[P, R]: ...
@overload
def on_primary(
    *,
    wait: Wait | None = None,
    timeout: float | str | None = "default",
    name: str | None = None,
    exactly_once: bool | str = False,
) -> Decorator: ...
def on_primary(
    code: Any = None,
    /,
    *,
    wait: Wait | None = None,
    timeout: float | str | None = "default",
    name: str | None = None,
    exactly_once: bool | str = False,
) -> Any:
    """Make calls of a function run in the primary region, and return when the local replica shows what it wrote.

    Use it as a decorator, with or without arguments. In the primary region, and where no ``PRIMARY_REGION`` is set, a
    call is a plain call. Elsewhere it is one request: the function runs on a random node of the primary region that can
    be reached, next to the primary. After a failover, that is the region that has the primary now; if only this process
    has it, the function runs here. Arguments, results and exceptions travel (see :func:`fly_orm.register_type`).
    ``f.local(…)`` runs the function here instead. The decorator may be above or below ``@classmethod`` and
    ``@staticmethod``; a class method runs for the class, or the subclass, that it is called for. A call inside a
    transaction raises NotSupported, since the function would not be part of that transaction. As decorators,
    ``@db.atomic()`` and ``@db_session`` may be above or below this one: the function is one transaction, or is in a
    db_session, where it runs.

    ``wait`` says when the call returns: ``"write"``, once the local replica shows what the function wrote; ``"read"``,
    once it is committed, while the next local read waits; ``"none"``, once it is committed. None leaves this to each
    database. ``timeout`` bounds the call in seconds, both ways included; None is no limit, and ``"default"`` is
    ``FLY_ORM_RPC_TIMEOUT``. ``name`` is what nodes call the function, by default its module and qualified name.

    With ``exactly_once``, the function runs in one transaction, which fly_orm begins and commits together with a row in
    the ledger, in the primary region too. If the reply is lost, fly_orm finds out what became of the call, and returns
    its result, or raises NotDelivered: it has committed nothing, and will not. The function must not commit itself. If
    several databases are wrapped, give the name of the one that the transaction is for. See ``docs/exactly-once.md``.

    A call raises what the function raises. Besides, it raises NotPortable if an argument cannot travel, NotDelivered or
    Refused if the function certainly did not run, OutcomeUnknown if it may have run (fly_orm never repeats it), and
    ResultLost if it ran but its result cannot travel (with ``exactly_once``, the function is rolled back instead, and
    the call raises NotPortable). Decorating raises ConfigurationError for a lambda, a closure, a coroutine or a
    generator, and for a name that is taken.
    """
    options = CallOptions(wait=wait, timeout=timeout, exactly_once=exactly_once)

    def decorate(code: Any) -> Any:
        if isinstance(code, classmethod):
            return ClassMethodOnPrimary(decorate(code.__func__))
        if isinstance(code, staticmethod):
            return StaticMethodOnPrimary(decorate(code.__func__))
        own = None if isinstance(timeout, str) else timeout
        return OnPrimary(code, register(code, name, own), options)

    return decorate if code is None else decorate(code)


def call(
    region: Region,
    function: Callable[..., R],
    /,
    *args: Any,
    wait: Wait | None = None,
    timeout: float | str | None = "default",
    exactly_once: bool | str | None = None,
    operation_key: str | None = None,
    **kwargs: Any,
) -> R:
    """Run a function in a region and return its result.

    ``region`` is :data:`fly_orm.PRIMARY`, which follows the primary after a failover as :func:`fly_orm.on_primary`
    does, or the name of a region. In this process's own region, the function runs in this process. Otherwise it runs on
    a random node of that region that can be reached. The function must have been registered with
    :func:`fly_orm.remote` or :func:`fly_orm.on_primary`, which describes ``wait``, ``timeout``, ``exactly_once`` and
    the errors. ``operation_key`` makes the call an operation of the application's that is executed once, as a block of
    :func:`fly_orm.operation` does. Pass the function's own arguments of these names by position. Any thread may call.
    """
    code, args = _unbound(function, args)
    once = exactly_once
    if once is None:
        once = code.options.exactly_once if isinstance(code, OnPrimary) else False
    options = CallOptions(wait=wait, timeout=timeout, exactly_once=once, operation_key=operation_key)
    registration = registered(code.code if isinstance(code, OnPrimary) else code)
    runtime, name = current_runtime(), None if region is PRIMARY else str(region)
    here = is_next_to_primary(runtime) if name is None else name == runtime.settings.topology.region
    with running_call(registration.name):
        result: R = (
            call_here(runtime, registration, args, kwargs, options)
            if here
            else dispatch(runtime, name, registration, args, kwargs, options)
        )
    return result


def _unbound(function: Any, args: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
    """The function of a method, and the arguments with its instance or class first; both as they are for others."""
    if isinstance(function, BoundOnPrimary) or inspect.ismethod(function):
        return function.__func__, (function.__self__, *args)
    return function, args
