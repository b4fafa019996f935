"""Faults to plant, each of which the checker has to find: what fly_orm would do without one of its rules."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple

import msgspec

from fly_orm.deadline import Deadline
from fly_orm.protocol.messages import Declined
from fly_orm.routing.freshness import Freshness, Waited
from fly_orm.routing.router import Router
from fly_orm.serving import channel_executor, executor, function_runner
from fly_orm.serving.channel_executor import ChannelExecutor
from fly_orm.serving.lease import Lease
from fly_orm.sessions.session import Session

from .violations import Kind

#: The variable that names what is planted in a process, separated by commas.
PLANT = "CHAOS_PLANT"


class Planted(NamedTuple):
    """A fault: which processes have it, what plants it, and a promise that it breaks."""

    process: str
    make: Callable[[], Any]
    breaks: Kind


def _now_and_then() -> bool:
    return random.randrange(8) == 0


def _around(cls: Any, name: str, behaviour: Callable[..., Any]) -> None:
    """Let a method behave otherwise; the behaviour gets the method first."""
    method = getattr(cls, name)

    @wraps(method)
    def replaced(self: Any, *arguments: Any, **named: Any) -> Any:
        return behaviour(lambda *changed: method(self, *(changed or arguments), **named), self, *arguments)

    setattr(cls, name, replaced)


def _wait_for_nothing() -> None:
    """A write returns at once, and the session's reads need not show it."""
    _around(Freshness, "catch_up", lambda run, self, *_: Waited())
    Freshness.expect = lambda self, position: None  # type: ignore[method-assign]
    Freshness.is_pinned = lambda self, session, connection: False  # type: ignore[method-assign]
    _around(Freshness, "wait", lambda run, self, *_: Waited())


def _lose_tokens() -> None:
    """What a session has seen in one process is not known in the next."""
    _around(Session, "resume", lambda run, self, *_: None)


def _lose_commits() -> None:
    """A node confirms a commit, and rolls back."""

    def lose(run: Any, self: Lease, request: Any, *more: Any) -> Any:
        if request.commits and _now_and_then():
            request = msgspec.structs.replace(request, statements=[b"ROLLBACK"])
        return run(request, *more)

    _around(Lease, "run", lose)


def _repeat() -> None:
    """A node executes a request twice."""

    def repeat(run: Any, self: Lease, request: Any, *more: Any) -> Any:
        if _is_autocommit_insert(self, request) and _now_and_then():
            run()
        return run()

    _around(Lease, "run", repeat)


def _commit_halves() -> None:
    """A node commits in the midst of a transaction."""

    def commit(run: Any, self: Lease, request: Any, *more: Any) -> Any:
        done = run()
        if done.transaction and done.error is None and _now_and_then():
            with self._raw.cursor() as cursor:
                cursor.execute("COMMIT")
                cursor.execute("BEGIN")
        return done

    _around(Lease, "run", commit)


def _decline_what_was_done() -> None:
    """A node says that it has declined what it has executed."""

    def decline(run: Any, self: ChannelExecutor, lease: Lease, request: Any, *more: Any) -> Any:
        autocommit = _is_autocommit_insert(lease, request)
        reply = run()
        return Declined(reason="not primary", message="planted") if autocommit and _now_and_then() else reply

    _around(ChannelExecutor, "_run_in", decline)


def _ignore_deadlines() -> None:
    """A caller takes its time, whatever the deadline is."""

    def ignore(run: Any, self: Router) -> Deadline:
        if random.randrange(200) == 0:
            time.sleep(6)
        return Deadline.after(8)

    _around(Router, "deadline", ignore)


def _begin_late() -> None:
    """A node executes what arrives after its caller has given up, and has repeated it, as it was not there."""
    for module in (channel_executor, executor, function_runner):
        module.node_deadline = lambda request: Deadline.after(request.timeout)  # type: ignore[attr-defined]


def _leave_a_thread() -> None:
    """What a router has started outlives it."""
    threading.Thread(target=threading.Event().wait, name="fly_orm planted", daemon=True).start()


def _leave_transactions() -> None:
    """A node forgets a transaction instead of rolling it back when its caller is gone."""

    forgotten = []

    def forget(run: Any, self: ChannelExecutor) -> Any:
        if self._lease is not None and self._lease._transaction:
            forgotten.append(self._lease)
            self._lease = None
        return run()

    _around(ChannelExecutor, "_end_lease", forget)


def _is_autocommit_insert(lease: Lease, request: Any) -> bool:
    first = request.statements[0] if request.statements else b""
    return lease._transaction == 0 and not request.preamble and bytes(first).startswith(b"INSERT")


PLANTS = {
    "waiting": Planted("client", _wait_for_nothing, Kind.STALE),
    "tokens": Planted("client", _lose_tokens, Kind.STALE),
    "lost": Planted("node", _lose_commits, Kind.LOST),
    "twice": Planted("node", _repeat, Kind.TWICE),
    "halves": Planted("node", _commit_halves, Kind.HALF),
    "declined": Planted("node", _decline_what_was_done, Kind.DECLINED),
    "deadlines": Planted("client", _ignore_deadlines, Kind.LATE_CALL),
    "late": Planted("node", _begin_late, Kind.LATE_WRITE),
    "thread": Planted("client", _leave_a_thread, Kind.LEFT),
    "transactions": Planted("node", _leave_transactions, Kind.LEFT),
}


def plant(process: str) -> None:
    """Plant what the environment names, as far as it belongs into this kind of process."""
    for name in filter(None, os.environ.get(PLANT, "").split(",")):
        if PLANTS[name].process == process:
            PLANTS[name].make()
