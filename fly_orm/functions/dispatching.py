"""Sends a call to another region, waits for what the function wrote, and returns or raises its outcome."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from .. import codec
from ..deadline import Deadline, check_timeout
from ..errors import (
    FlyOrmError,
    NotDelivered,
    NotSupported,
    Refused,
    RemoteError,
    ResultLost,
    check_choice,
)
from ..forwarding.failures import leave_it_open
from ..forwarding.replied import after_reply
from ..forwarding.response import Response
from ..position import UNKNOWN, History
from ..protocol import reasons
from ..protocol.messages import Call, Returned
from ..routing.errors import as_driver_error, informative_cause
from ..routing.freshness import Waited
from ..routing.router import Router
from ..routing.settling import tell_if_unknown
from ..runtime.runtime import Runtime
from ..sessions.context import current
from ..sessions.operation import current_operation, executing, is_recorded
from ..sessions.running import note_call, note_call_here
from ..sessions.served import Route, Served
from ..sessions.wait import WAITS, Wait
from ..topology import Node
from .arguments import encode_positional
from .here import check_no_transaction, run_here
from .locating import are_primary, direct_here, routed_here, seem_primary
from .once import Once, asked_of, check_on_primary, exchange, once
from .registering import Function
from .values import decoded, encoded


@dataclass(frozen=True, kw_only=True)
class CallOptions:
    """How a call is made. Raises ConfigurationError or ValueError for impossible options."""

    wait: Wait | None = None
    """When to wait for the replica; None leaves it to each database."""
    timeout: float | str | None = "default"
    """Seconds for the whole call, None for no limit, or ``"default"`` for ``FLY_ORM_RPC_TIMEOUT``."""
    exactly_once: bool | str = False
    """Whether the call is recorded in the ledger; of which database, if a name says so."""
    operation_key: str | None = None
    """The application's key for the call; None for that of the block it is in, if it is in one."""

    def __post_init__(self) -> None:
        if self.wait is not None:
            check_choice("wait", self.wait, *WAITS)
        if isinstance(self.timeout, str):
            check_choice("timeout", self.timeout, "default", None)
        else:
            check_timeout("timeout", self.timeout)

    def deadline(self, runtime: Runtime) -> Deadline:
        """When the call has to be answered. Inside an invocation, not later than the invocation itself."""
        deadline = Deadline.after(runtime.settings.rpc_timeout if isinstance(self.timeout, str) else self.timeout)
        invocation = current().invocation
        return deadline if invocation is None else deadline.or_earlier(invocation.deadline)


def dispatch(
    runtime: Runtime,
    region: str | None,
    function: Function,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    options: CallOptions,
) -> Any:
    """What the function returns in a region, once the local replicas show what it wrote; raises what it raises.

    None is the region of the primary, wherever that is now. If no node has the primary but this process does, the
    function runs here. :func:`fly_orm.on_primary` describes the other errors.
    """
    deadline, ours = options.deadline(runtime), routed_here(runtime)
    check_no_transaction(
        f"{function.name} runs in a transaction of its own",
        ours,
        "call it before or after, move the whole transaction into the function, or run its code here, inside the "
        "transaction, with .local(…)",
    )
    on_primary = region in (None, runtime.settings.topology.primary_region)
    message = _message(function, args, kwargs, on_primary=on_primary)
    if blocks := [router.name for router in ours if router.wrapped.in_block()]:
        message = msgspec.structs.replace(message, blocks=blocks)
    asked = partial(asked_of, function, args, kwargs)
    recorded = once(function, options.exactly_once, options.operation_key, ours, asked)
    if recorded is not None:
        check_on_primary(function, message)
        message = msgspec.structs.replace(message, record=recorded.record, database=recorded.database)
    if message.on_primary:
        message = msgspec.structs.replace(message, newest=_newest_timelines(ours))
    answer = _ask(runtime, region, message, recorded, deadline, ours)
    if answer is None:
        note_call_here("no node has the primary, but this process does")
        if recorded is not None:
            return run_here(function, args, kwargs, recorded.as_another_request(), ours, deadline)
        return function.code(*args, **kwargs)
    late, waited = _wait(answer.reply, answer.node, ours, options.wait)
    _expect_what_was_read(answer.reply, ours)
    for router in ours:
        with after_reply("clear cached query results"):
            router.wrapped.clear_cached_results()
    served = Served(
        route=Route.PRIMARY if message.on_primary else Route.REGION,
        why=f"a call of {function.name}",
        node=str(answer.node),
        rpc=answer.elapsed,
        wait=waited,
    )
    note_call(current(), served, answer.reply.statements)
    result = _outcome(function, answer)
    for router, replica in late:
        router.raise_if_late(replica, result)
    return result


def _ask(
    runtime: Runtime, region: str | None, message: Call, recorded: Once | None, deadline: Deadline, ours: list[Router]
) -> Response[Returned] | None:
    """The response of a node; None if no node has the primary, but this process does."""
    forwarder = runtime.forwarder
    try:
        # A region that merely connects to a far primary seems to have it as well, so nodes are asked first.
        with executing(None if recorded is None else recorded.operation, partial(_as_caught_here, ours=ours)):
            answer = exchange(forwarder, region, message, deadline, last_resort=not seem_primary(ours))
            if recorded is not None and answer.reply.error is None:
                recorded.done()
            return answer
    except (NotDelivered, Refused) as error:
        here = region is None and leave_it_open(error.failures or [error]) and not deadline.expired
        if here and are_primary(ours, deadline):
            forwarder.primary_of(None).is_here(error)
            return None
        raise _as_caught_here(_with_release(error, runtime), ours) from informative_cause(error)
    except BaseException as error:
        if not isinstance(error, NotSupported):
            for router in ours:  # it may have written, so whoever looks for that has to look on the primary
                router.freshness.expect(UNKNOWN)
        if isinstance(error, FlyOrmError):
            tell_if_unknown(error, function=message.function)
            raise _as_caught_here(error, ours) from informative_cause(error)
        raise


def call_here(
    runtime: Runtime, function: Function, args: tuple[Any, ...], kwargs: dict[str, Any], options: CallOptions
) -> Any:
    """What the function returns in this process, where it belongs; raises what it raises."""
    note_call_here("the call runs in this region")
    key = options.operation_key
    wanted = options.exactly_once or key is not None or current_operation() is not None
    if not wanted or (is_recorded() and key is None):  # or it is part of another call's transaction
        return function.code(*args, **kwargs)
    ours = direct_here(runtime)
    asked = partial(asked_of, function, args, kwargs)
    recorded = once(function, options.exactly_once, options.operation_key, ours, asked)
    if recorded is None:
        return function.code(*args, **kwargs)
    check_no_transaction(
        f"{function.name} is executed exactly once, in a transaction of its own,", ours, "call it before or after"
    )
    return run_here(function, args, kwargs, recorded, ours, options.deadline(runtime))


def _newest_timelines(ours: list[Router]) -> dict[str, list[History]]:
    """By database, the newest timelines that this process has seen."""
    return {router.name: router.newest_timelines() for router in ours}


def _message(function: Function, args: tuple[Any, ...], kwargs: dict[str, Any], *, on_primary: bool) -> Call:
    """The request; TypeError as a plain call raises it, NotPortable if an argument cannot travel."""
    function.signature.bind(*args, **kwargs)
    return Call(
        function=function.name,
        positional=encode_positional(function, args),
        named={name: encoded(value, f"argument {name!r}") for name, value in kwargs.items()},
        on_primary=on_primary,
    )


def _with_release(error: FlyOrmError, runtime: Runtime) -> FlyOrmError:
    """The error, with the release of this process if the node may run another one."""
    if not isinstance(error, Refused) or error.reason not in (reasons.UNKNOWN_FUNCTION, reasons.BAD_ARGUMENTS):
        return error
    return Refused(f"{error}. This process runs release {runtime.settings.release or 'unnamed'!r}", **error.__dict__)


def _as_caught_here(error: FlyOrmError, ours: list[Router]) -> FlyOrmError:
    """The error as an instance of the classes too that the ORMs of these databases raise."""
    return as_driver_error(error, *{router.exceptions: None for router in ours if router.exceptions is not None})


def _wait(
    returned: Returned, node: Node, ours: list[Router], wait: Wait | None
) -> tuple[list[tuple[Router, Waited]], float]:
    """Wait until the replicas here show what a function wrote.

    Returns the routers whose replica was late and whose applications want to hear of it, and the seconds waited.
    """
    late, seconds = [], 0.0
    for name, commit in returned.written.items():
        if (invocation := current().invocation) is not None:
            invocation.wrote_until(name, commit)
        for router in ours:
            with after_reply("wait for the replica"):
                if router.is_named(name):
                    router.note_primary(commit, node)
                    waited = router.freshness.wait(commit, wait)
                    seconds += waited.seconds
                    if waited.late is not None:
                        late.append((router, waited))
    return late, seconds


def _expect_what_was_read(returned: Returned, ours: list[Router]) -> None:
    """Let later reads here be at least as fresh as what the function has read, without waiting for that."""
    for name, position in returned.read.items():
        for router in ours:
            with after_reply("note what the function has read"):
                if router.is_named(name):
                    router.freshness.expect(position)


def _outcome(function: Function, answer: Response[Returned]) -> Any:
    """What the function returned; raises what it raised."""
    returned = answer.reply
    if returned.error is not None:
        try:
            error = codec.decode_error(returned.error)
        except codec.CodecError as problem:
            error = RemoteError(
                f"{function.name} raised an error on {answer.node} that this process cannot read: {problem}"
            )
        raise error
    if returned.value is None:
        raise _lost(function, answer, returned.result_lost or "the node did not send it")
    try:
        return decoded(returned.value)
    except codec.CodecError as problem:
        raise _lost(function, answer, str(problem)) from problem


def _lost(function: Function, answer: Response[Returned], problem: str) -> ResultLost:
    return ResultLost(
        f"{function.name} ran on {answer.node}, and what it wrote is committed, but its result is lost: {problem}",
        node=str(answer.node),
    )
