"""Functions that run in another region: one request for the whole function, and the replica wait after it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, Generic, ParamSpec, TypeVar, overload

from . import codec
from .deadline import Deadline, check_timeout
from .errors import FlyOrmError, NotSupported, Refused, RemoteError, ResultLost
from .functions import Function, register, registered
from .home import Home, home
from .lsn import LSN, UNKNOWN_LSN
from .messages import Call, Returned
from .places import Region, name_of
from .remote_call import CallAnswer
from .routing.errors import as_driver_error
from .routing.router import Router, Wait, check_choice, routers
from .session import Route, Served, current

P = ParamSpec("P")
R = TypeVar("R")


class OnPrimary(Generic[P, R]):
    """A function whose calls run in the primary region. Made by :func:`on_primary`."""

    def __init__(
        self, code: Callable[P, R], function: Function, wait: Wait | None, timeout: float | str | None
    ) -> None:
        functools.update_wrapper(self, code)
        self.function = function
        self.local = code
        """Runs the function here, wherever that is."""
        self._wait, self._timeout = wait, timeout

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        place = home()
        if place.settings.topology.is_primary:
            return self.local(*args, **kwargs)
        region = place.settings.topology.primary_region or ""
        result: R = _call(place, region, self.function, args, kwargs, wait=self._wait, timeout=self._timeout)
        return result

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """The method, as of any function."""
        if instance is None:
            return self
        bound = functools.partial(self, instance)
        bound.local = functools.partial(self.local, instance)  # type: ignore[attr-defined]  # a partial has attributes
        return bound

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
    _check(wait, timeout)

    def decorate(code: Callable[P, R]) -> OnPrimary[P, R]:
        return OnPrimary(code, register(code, name), wait, timeout)

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
    with :func:`fly_orm.on_primary`. Runs on a random node of the region that can be reached.
    """
    _check(wait, timeout)
    place, name = home(), name_of(region)
    code = function.local if isinstance(function, OnPrimary) else function
    known = registered(code)
    if name == place.settings.topology.region:
        return code(*args, **kwargs)
    result: R = _call(place, name, known, args, kwargs, wait=wait, timeout=timeout)
    return result


def _check(wait: Wait | None, timeout: float | str | None) -> None:
    if wait is not None:
        check_choice("wait", wait, "write", "none")
    if not isinstance(timeout, str):
        check_timeout("timeout", timeout)


def _call(
    place: Home,
    region: str,
    function: Function,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    wait: Wait | None,
    timeout: float | str | None,
) -> Any:
    deadline = Deadline.after(place.settings.rpc_timeout if isinstance(timeout, str) else timeout)
    session = current()
    if session.invocation is not None:
        deadline = deadline.or_earlier(session.invocation.deadline)
    ours = _routers(place)
    _refuse_in_transaction(function, ours)
    message = _message(function, args, kwargs, on_primary=region == place.settings.topology.primary_region)
    try:
        answer = place.forwarder.call(region, message, deadline)
    except FlyOrmError as error:
        raise _as_caught_here(_with_release(error, place), ours) from error
    waited = _wait(answer.returned, ours, wait)
    route = Route.PRIMARY if message.on_primary else Route.REGION
    session.served = Served(
        route=route, why=f"a call of {function.name}", node=str(answer.node), rpc=answer.seconds, wait=waited
    )
    return _outcome(function, answer)


def _routers(place: Home) -> list[Router]:
    """Those of the databases whose replica is in this region."""
    region = place.settings.topology.region
    return [
        router
        for router in routers()
        if router.settings.topology.region == region and not router.settings.topology.is_primary
    ]


def _refuse_in_transaction(function: Function, ours: list[Router]) -> None:
    for router in ours:
        if router.wrapped.in_transaction():
            raise router.driver_error(
                NotSupported(
                    f"{function.name} would run in a session of its own, and be no part of the transaction that is "
                    f"open on {router.name!r}: call it before or after, let it contain the whole transaction, or run "
                    "its statements from here, in the transaction, with .local(…)"
                )
            )


def _message(function: Function, args: tuple[Any, ...], kwargs: dict[str, Any], *, on_primary: bool) -> Call:
    """The request; TypeError as a plain call raises it, NotPortable if an argument cannot travel."""
    function.signature.bind(*args, **kwargs)
    return Call(
        function=function.name,
        positional=[codec.encode(value, label) for value, label in zip(args, _labels(function), strict=False)],
        named={name: codec.encode(value, f"argument {name!r}") for name, value in kwargs.items()},
        on_primary=on_primary,
    )


def _labels(function: Function) -> Iterator[str]:
    """How an error names each positional argument."""
    for name, parameter in function.signature.parameters.items():
        if parameter.kind is parameter.VAR_POSITIONAL:
            number = 0
            while True:
                yield f"argument {name!r}[{number}]"
                number += 1
        yield f"argument {name!r}"


def _with_release(error: FlyOrmError, place: Home) -> FlyOrmError:
    """The error, and which release runs here if that of the node may be another."""
    if not isinstance(error, Refused) or error.reason not in ("unknown function", "bad arguments"):
        return error
    return Refused(f"{error}. This process runs release {place.settings.release or 'unnamed'!r}", **error.__dict__)


def _as_caught_here(error: FlyOrmError, ours: list[Router]) -> FlyOrmError:
    """The error as callers of the databases here can catch it, too."""
    return ours[0].driver_error(error) if ours else as_driver_error(error)


def _wait(returned: Returned, ours: list[Router], wait: Wait | None) -> float:
    """Wait until the replicas here show what a function wrote; returns how long that took, in seconds."""
    waited = 0.0
    for name, position in returned.written.items():
        commit = UNKNOWN_LSN if position is None else LSN(position)
        if (running := current().invocation) is not None:
            running.saw(name, commit)
        waited += sum(router.wait(commit, wait) for router in ours if router.is_called(name))
    return waited


def _outcome(function: Function, answer: CallAnswer) -> Any:
    """What the function returned; raises what it raised."""
    returned = answer.returned
    if returned.error is not None:
        try:
            error = codec.decode_error(returned.error)
        except codec.CodecError as problem:
            error = RemoteError(f"{function.name} raised an error on {answer.node} that cannot be read here: {problem}")
        raise error
    if returned.value is None:
        raise _lost(function, answer, returned.lost or "the node has sent none")
    try:
        return codec.decode(returned.value)
    except codec.CodecError as problem:
        raise _lost(function, answer, str(problem)) from problem


def _lost(function: Function, answer: CallAnswer, problem: str) -> ResultLost:
    return ResultLost(
        f"{function.name} ran on {answer.node}, and what it wrote is committed, but its result is lost: {problem}",
        node=str(answer.node),
    )
