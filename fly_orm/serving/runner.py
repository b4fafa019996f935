"""Runs registered functions for callers elsewhere."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from contextvars import Context
from typing import Any

import psycopg2

from .. import codec
from ..concurrency.pool import PoolTimeout
from ..concurrency.timer import Timer
from ..deadline import Deadline
from ..errors import NotPortable, NotPrimary
from ..functions import registering as functions
from ..functions.registering import Function
from ..position import UNKNOWN, Position
from ..postgres.primary_pool import PrimaryPool
from ..protocol.messages import BUSY, Call, Declined, Returned
from ..routing.router import Router, routers
from ..runtime.runtime import Runtime, use_runtime
from ..sessions.activity import Activity
from ..sessions.context import enter
from ..sessions.invocation import Invocation
from ..sessions.session import Session
from .workers import Workers

log = logging.getLogger("fly_orm")

_TIME_IS_OVER = "the caller's time is over; give the function more with timeout=seconds"
_CLOSING = "this node is about to stop"


class Runner:
    """Runs at most ``max_size`` functions at a time, each on a thread, and in a session, of its own. Thread-safe."""

    def __init__(self, runtime: Runtime, pools: Iterable[PrimaryPool], *, max_size: int) -> None:
        self._runtime = runtime
        self._pools = list(pools)
        self._timer = Timer("fly_orm function timer")
        self._workers: Workers[Returned | Declined] = Workers("fly_orm function", max_size=max_size, leave=_disconnect)
        self._lock = threading.Lock()
        self._running: set[Invocation] = set()

    def run(self, call: Call, begun: Callable[[Invocation], None]) -> Returned | Declined:
        """What came of a call. ``begun`` is told of the invocation, which can be stopped from then on."""
        deadline = Deadline.after(call.timeout)
        function = functions.find(call.function)
        if function is None:
            return Declined(reason="unknown function", message=self._unknown(call.function))
        try:
            self._check(call)
        except NotPrimary as error:
            return Declined(reason=error.reason, message=str(error))
        invocation = Invocation(deadline)
        begun(invocation)
        try:
            return self._workers.run(lambda: self._run(function, call, invocation), deadline.for_queueing())
        except PoolTimeout as error:
            return Declined(reason=BUSY, message=f"no thread is free to run {function.name}: {error}")

    def stop(self) -> None:
        """Stop what still runs, by ending the connections that it runs on."""
        with self._lock:
            running = list(self._running)
        for invocation in running:
            invocation.stop(_CLOSING)
            invocation.break_off()

    def close(self) -> None:
        """Let go of threads and connections."""
        self._workers.close()
        for router in routers():
            router.local.primary.close()
        self._timer.close()

    def _unknown(self, name: str) -> str:
        known = ", ".join(functions.names()) or "none"
        return (
            f"{name!r} is not registered in {self._release} (these functions are: {known}); let the application import "
            "its module, or serve with --import MODULE"
        )

    @property
    def _release(self) -> str:
        return f"release {self._runtime.settings.release or 'unnamed'!r}"

    def _check(self, call: Call) -> None:
        """Raise NotPrimary if the function needs a primary, and a database of this node is a replica."""
        if not call.on_primary:
            return
        if self._runtime.settings.topology.primary_region is None:
            raise NotPrimary("PRIMARY_REGION is not set on this node, so what functions write could not be waited for")
        for pool in self._pools:
            try:
                pool.check()
            except psycopg2.Error as error:  # of which the function will learn, if it uses that database
                log.warning("the database %r of this node cannot be reached: %s", pool.name, str(error).strip())

    def _run(self, function: Function, call: Call, invocation: Invocation) -> Returned | Declined:
        """On a worker's thread."""
        if invocation.stopped:
            return Declined(reason="expired", message="the caller's time was over, or it was gone, before it began")
        with self._lock:
            self._running.add(invocation)
        try:
            return Context().run(self._run_inside, function, call, invocation)
        finally:
            with self._lock:
                self._running.discard(invocation)

    def _run_inside(self, function: Function, call: Call, invocation: Invocation) -> Returned | Declined:
        """In the context of the function."""
        enter(Session(invocation))
        run = _Run(function)
        with (
            use_runtime(self._runtime),
            self._timer.limit(invocation.deadline.remaining(), lambda: _too_late(invocation)),
        ):
            try:
                with _databases():
                    run(call)
            except BaseException as error:  # noqa: BLE001  # the node's edge: whatever it is, it is the caller's
                if not run.begun:
                    return self._not_begun(function, error)
                run.failed(error)
        return Returned(**run.outcome, written=self._written(invocation))

    def _not_begun(self, function: Function, error: BaseException) -> Declined:
        if isinstance(error, codec.CodecError | TypeError):
            message = f"{function.name} of {self._release} cannot take the arguments: {error}"
            return Declined(reason="bad arguments", message=message)
        message = f"{function.name} could not begin: {type(error).__name__}: {str(error).strip()}"
        return Declined(reason="unavailable", message=message)

    def _written(self, invocation: Invocation) -> dict[str, Position]:
        for database, activity in list(invocation.by_database.items()):
            if isinstance(database, Router) and (position := _position(database, activity)) is not None:
                invocation.saw(database.name, position)
        return invocation.written


def _position(router: Router, activity: Activity) -> Position | None:
    try:
        return router.local.primary.position(router.name, activity)
    except NotPrimary as error:
        log.warning("%s", error)
        return UNKNOWN


def _too_late(invocation: Invocation) -> None:
    invocation.stop(_TIME_IS_OVER)


class _Run:
    """One run of a function, and what came of it."""

    def __init__(self, function: Function) -> None:
        self._function = function
        self.begun = False
        self.outcome: dict[str, Any] = {}
        """The fields of the reply that say what came of it."""

    def __call__(self, call: Call) -> None:
        """Run it; raises what it raises, and before it has begun, CodecError or TypeError for bad arguments."""
        positional = [codec.decode(value) for value in call.positional]  # an ORM may have to load some of them
        named = {name: codec.decode(value) for name, value in call.named.items()}
        arguments = self._function.signature.bind(*positional, **named)
        self.begun = True
        result = self._function.code(*arguments.args, **arguments.kwargs)
        for router in routers():
            router.wrapped.flush()
        try:
            self.outcome = {"value": codec.encode(result, "the result")}
        except NotPortable as error:
            self.outcome = {"result_lost": str(error)}

    def failed(self, error: BaseException) -> None:
        """Note what it has raised, or what was raised when it had ended, such as by a commit."""
        self.outcome = {"error": codec.encode_error(error)}


def _databases() -> ExitStack:
    """A block in which every wrapped database is ready for a function, and left without a transaction."""
    with ExitStack() as stack:
        for router in routers():
            stack.enter_context(router.wrapped.function_scope())
        return stack.pop_all()


def _disconnect() -> None:
    """Close what a worker's thread has open."""
    for router in routers():
        try:
            router.wrapped.close_thread_connections()
        except Exception as error:  # noqa: BLE001  # an ORM may raise anything, and the thread ends all the same
            log.warning("a connection to %r was not closed: %s", router.name, error)
