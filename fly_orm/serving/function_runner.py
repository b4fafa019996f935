"""Runs the functions of this process that callers elsewhere call."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from contextvars import Context
from typing import Any

from ..codec.names import how_to_have
from ..concurrency.pool import PoolTimeout
from ..concurrency.resizable_pool import ResizablePool
from ..concurrency.timer import Timer
from ..errors import NotPrimary, Refused
from ..functions import registering
from ..functions.registering import Function
from ..observing.listeners import listeners
from ..postgres.primary_pool import PrimaryPool
from ..postgres.running_statement import CANCEL_TIMEOUT
from ..protocol import reasons
from ..protocol.messages import Call, Declined, Returned
from ..routing.router import Router, routers
from ..runtime.runtime import Runtime, use_runtime
from ..sessions.context import enter
from ..sessions.invocation import TIMED_OUT, Invocation
from ..sessions.session import Session
from ..settings import Settings
from .function_threads import FunctionThreads
from .invoking import invoke, too_late
from .observed_request import Executing
from .primaries import check_primaries
from .replies import declined
from .time_limits import node_deadline

log = logging.getLogger("fly_orm.node")

#: Called when an invocation is about to start. It can be stopped from then on.
OnStart = Callable[[Invocation], None]

#: Completes Postgres' sentence "canceling statement because …".
SHUTTING_DOWN = "this node is shutting down"


class FunctionRunner:
    """Runs at most ``pool_size`` functions at a time, each on a thread of its own and in its own session. Thread-safe.

    An *invocation* is one run of a function on this node; a *call* is what its caller, elsewhere, is waiting for.
    """

    def __init__(
        self,
        runtime: Runtime,
        pools: Iterable[PrimaryPool],
        *,
        limits: Settings | None = None,
        databases: Iterable[Router] = (),
    ) -> None:
        """``databases`` are those that are served, whose ledgers can record calls."""
        self._runtime = runtime
        self._limits = limits or runtime.settings
        self._release = f"release {runtime.settings.release or 'unnamed'!r}"
        self._pools = list(pools)
        self._routers = {router.name: router for router in databases}
        self._timer = Timer("the timer of the functions")
        self._threads: FunctionThreads[Returned | Declined] = FunctionThreads(
            "fly_orm function", max_size=self._limits.pool_size, on_exit=_disconnect
        )
        self._lock = threading.Lock()
        self._invocations: dict[Invocation, str] = {}
        """By what is running: the name of its function."""

    def run(self, call: Call, on_start: OnStart, peer: str = "") -> Returned | Declined:
        """Run the function that a peer has called and return the outcome."""
        deadline = node_deadline(call)
        function = registering.find(call.function)
        if function is None:
            return Declined(reason=reasons.UNKNOWN_FUNCTION, message=self._unknown(call.function))
        if call.record is not None and call.database not in self._routers:
            return Declined(reason=reasons.UNKNOWN_DATABASE, message=f"this node does not serve {call.database!r}")
        try:
            self._check_primary(call)
        except Refused as error:
            return declined(error)
        invocation = Invocation(deadline, on_primary=call.on_primary)
        on_start(invocation)
        try:
            return self._threads.run(lambda: self._run(function, call, invocation, peer), deadline.for_queueing())
        except PoolTimeout as error:
            return Declined(reason=reasons.BUSY, message=f"no thread is free to run {function.name}: {error}")

    @property
    def places(self) -> ResizablePool[Any]:
        """What bounds how many run at a time."""
        return self._threads.places

    @property
    def functions(self) -> list[str]:
        """The names of the functions that run."""
        with self._lock:
            return list(self._invocations.values())

    @property
    def in_progress(self) -> list[str]:
        """The calls that run, in words."""
        return [f"a call of {name}" for name in self.functions]

    def stop(self) -> None:
        """Stop all invocations, and close the connections that their statements run on."""
        with self._lock:
            invocations = list(self._invocations)
        for invocation in invocations:
            invocation.stop(SHUTTING_DOWN)
            invocation.break_off()

    def close(self) -> None:
        """End the threads that are idle, and the others when their functions return."""
        self._threads.close()
        for router in routers():
            router.local.primary.close()
        self._timer.close()

    def _unknown(self, name: str) -> str:
        known = ", ".join(registering.names()) or "none"
        advice = how_to_have(name, "the node")
        return f"{name!r} is not registered in {self._release} (registered: {known}); {advice}"

    def _check_primary(self, call: Call) -> None:
        """Raise Refused if the function needs a primary, and this node has none, or cannot reach any."""
        if not call.on_primary:
            return
        if self._runtime.settings.topology.primary_region is None:
            raise NotPrimary(
                "PRIMARY_REGION is not set on this node, so callers could not wait for what a function writes"
            )
        # A database that cannot be reached may not be needed. If it is, the function will say so, or
        # read on another primary.
        if not check_primaries(self._pools, call.newest):
            raise Refused("this node cannot reach any of its databases", reason=reasons.UNAVAILABLE)

    def _run(self, function: Function, call: Call, invocation: Invocation, peer: str) -> Returned | Declined:
        """Runs on a thread for functions."""
        if invocation.stopped:  # while the call was queueing for the thread
            return too_late(function)
        with self._lock:
            self._invocations[invocation] = function.name
        try:
            # In an empty context, so that the function inherits nothing from the one that this thread ran before.
            return Context().run(self._run_observed, function, call, invocation, peer)
        finally:
            with self._lock:
                self._invocations.pop(invocation, None)

    def _run_observed(self, function: Function, call: Call, invocation: Invocation, peer: str) -> Returned | Declined:
        if not listeners.executions:
            return self._run_in_session(function, call, invocation)
        with Executing("call", peer, call) as executing:
            reply = executing.replied(self._run_in_session(function, call, invocation))
            executing.raised = invocation.raised
            return reply

    def _run_in_session(self, function: Function, call: Call, invocation: Invocation) -> Returned | Declined:
        enter(Session(invocation))
        time_left = invocation.deadline.remaining()
        router = None if call.record is None else self._routers[call.database]
        with use_runtime(self._runtime), self._timer.limit(time_left, lambda: self._time_out(invocation)):
            return invoke(
                function, call, invocation, router, release=self._release, max_elements=self._limits.max_elements
            )

    def _time_out(self, invocation: Invocation) -> None:
        invocation.stop(TIMED_OUT)
        self._timer.call_later(CANCEL_TIMEOUT, invocation.break_off)


def _disconnect() -> None:
    """Close the connections that the ORMs have opened on this thread."""
    for router in routers():
        try:
            router.wrapped.close_thread_connections()
        except Exception as error:  # noqa: BLE001  # an ORM may raise anything, and the thread ends all the same
            log.warning(
                "cannot close a connection to %r: %s",
                router.name,
                error,
                extra={"event": "connection_not_closed", "database": router.name, "problem": str(error)},
            )
