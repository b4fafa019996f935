"""Runs registered functions for callers elsewhere."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from contextvars import Context
from inspect import BoundArguments
from typing import Any

import psycopg2

from . import codec, functions
from .alarm import Alarm
from .deadline import Deadline, now
from .errors import NotPortable, NotPrimary
from .functions import Function
from .home import Home, at_home
from .invocation import Invocation
from .lsn import UNKNOWN_LSN
from .messages import Call, Declined, Returned
from .pool import PoolTimeout
from .positions import Positions
from .primary import PrimaryPool
from .routing.router import Router, routers
from .session import Session, enter
from .workers import Workers

log = logging.getLogger("fly_orm")

_TIME_IS_OVER = "the caller's time is over; give the function more with timeout=seconds"
_CLOSING = "this node is about to stop"


class Runner:
    """Runs at most ``max_size`` functions at a time, each on a thread, and in a session, of its own. Thread-safe."""

    def __init__(self, home: Home, pools: Iterable[PrimaryPool], *, max_size: int) -> None:
        self._home = home
        self._pools = list(pools)
        self._alarm = Alarm("fly_orm function alarm")
        self._positions = Positions(self._alarm)
        self._workers: Workers[Returned | Declined] = Workers("fly_orm function", max_size=max_size, leave=_disconnect)
        self._lock = threading.Lock()
        self._running: set[Invocation] = set()

    def run(self, call: Call, begun: Callable[[Invocation], None]) -> Returned | Declined:
        """What came of a call. ``begun`` is told of the invocation, which can be stopped from then on."""
        function = functions.find(call.function)
        if function is None:
            return Declined(reason="unknown function", message=self._unknown(call.function))
        try:
            self._check(call)
        except NotPrimary as error:
            return Declined(reason=error.reason, message=str(error))
        deadline = Deadline.after(call.budget)
        invocation = Invocation(deadline)
        begun(invocation)
        try:
            return self._workers.run(lambda: self._run(function, call, invocation), deadline)
        except PoolTimeout as error:
            return Declined(reason="busy", message=f"no thread is free to run {function.name}: {error}")

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
        self._positions.close()
        self._alarm.close()

    def _unknown(self, name: str) -> str:
        known = ", ".join(functions.names()) or "none"
        return (
            f"{name!r} is not registered in {self._release} (these functions are: {known}); let the application import "
            "its module, or serve with --import MODULE"
        )

    def _unfit(self, function: Function, error: Exception) -> str:
        return f"{function.name} of {self._release} cannot take the arguments: {error}"

    @property
    def _release(self) -> str:
        return f"release {self._home.settings.release or 'unnamed'!r}"

    def _check(self, call: Call) -> None:
        """Raise NotPrimary if the function needs a primary, and a database of this node is a replica."""
        if not call.on_primary:
            return
        for pool in self._pools:
            try:
                pool.check()
            except psycopg2.Error as error:  # of which the function will learn, if it uses that database
                log.warning("the database %r of this node cannot be reached: %s", pool.name, str(error).strip())

    def _run(self, function: Function, call: Call, invocation: Invocation) -> Returned | Declined:
        """On a worker's thread."""
        if invocation.deadline.expired:
            return Declined(reason="expired", message="the caller's time was over before a thread was free")
        with self._lock:
            self._running.add(invocation)
        try:
            return Context().run(self._run_inside, function, call, invocation)
        finally:
            with self._lock:
                self._running.discard(invocation)

    def _run_inside(self, function: Function, call: Call, invocation: Invocation) -> Returned | Declined:
        """In the context of the function."""
        started = now()
        enter(Session(invocation))
        outcome: dict[str, Any]
        with at_home(self._home), self._alarm.limit(invocation.deadline.remaining(), lambda: _too_late(invocation)):
            try:
                with _databases():
                    try:
                        arguments = _arguments(function, call)  # an ORM may have to load some of them
                    except (codec.CodecError, TypeError) as error:
                        return Declined(reason="bad arguments", message=self._unfit(function, error))
                    outcome = _encoded(function.code(*arguments.args, **arguments.kwargs))
            except BaseException as error:  # noqa: BLE001  # the node's edge: whatever it is, it is the caller's
                outcome = {"error": codec.encode_error(error)}
        return Returned(**outcome, written=self._written(invocation), seconds=now() - started)

    def _written(self, invocation: Invocation) -> dict[str, int | None]:
        written: dict[str, int | None] = {name: _sent(lsn) for name, lsn in invocation.written.items()}
        for database, touched in invocation.touched.items():
            if isinstance(database, Router) and (lsn := self._positions.after(database, touched)) is not None:
                written[database.name] = _sent(lsn)
        return written


def _too_late(invocation: Invocation) -> None:
    invocation.stop(_TIME_IS_OVER)


def _arguments(function: Function, call: Call) -> BoundArguments:
    """The arguments of the call; CodecError or TypeError if the function cannot take them."""
    positional = [codec.decode(value) for value in call.positional]
    named = {name: codec.decode(value) for name, value in call.named.items()}
    return function.signature.bind(*positional, **named)


def _encoded(result: Any) -> dict[str, Any]:
    try:
        return {"value": codec.encode(result, "the result")}
    except NotPortable as error:
        return {"lost": str(error)}


def _databases() -> ExitStack:
    """A block in which every wrapped database is ready for a function, and left without a transaction."""
    with ExitStack() as stack:
        for router in routers():
            stack.enter_context(router.wrapped.call())
        return stack.pop_all()


def _disconnect() -> None:
    """Close what a worker's thread has open."""
    for router in routers():
        try:
            router.wrapped.disconnect()
        except Exception as error:  # noqa: BLE001  # an ORM may raise anything, and the thread ends all the same
            log.warning("a connection to %r was not closed: %s", router.name, error)


def _sent(lsn: int) -> int | None:
    return None if lsn == UNKNOWN_LSN else int(lsn)
