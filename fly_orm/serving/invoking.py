"""One run of a function: decodes the arguments, calls the function, encodes the outcome."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from contextlib import ExitStack
from functools import partial
from typing import Any

from .. import codec
from ..errors import NotPrimary
from ..functions import recorded
from ..functions.arguments import decode_arguments
from ..functions.registering import Function
from ..position import UNKNOWN, Position, later
from ..protocol import reasons
from ..protocol.messages import Call, Declined, Returned
from ..routing.router import Router, routers
from ..sessions.activity import Activity
from ..sessions.context import current
from ..sessions.invocation import Invocation
from ..sessions.session import Session
from .privileges import note_role
from .replies import declined

log = logging.getLogger("fly_orm.node")


def invoke(
    function: Function,
    call: Call,
    invocation: Invocation,
    router: Router | None,
    *,
    release: str,
    max_elements: int,
) -> Returned | Declined:
    """Run a function in the calling context and return the outcome: Declined if it was not started.

    ``router`` is that of the database whose ledger records the call; None if none does. ``release`` is what messages
    call the release of the application that this process runs. Arguments of more than ``max_elements`` are refused.
    """
    execution = _Execution(function, router, max_elements)
    try:
        with _prepared_databases():
            execution.run(call, invocation)
    except _TooLate:
        return too_late(function)
    except recorded.LedgerRefused as error:
        return declined(error.refused)
    except recorded.ResultNotPortable as error:
        return Declined(reason=reasons.NOT_PORTABLE, message=str(error))
    except recorded.TransactionBroken as error:
        return Declined(reason=reasons.LOST, message=str(error))
    except recorded.CommitLost as error:
        return Declined(reason=reasons.UNKNOWN, message=str(error))
    except BaseException as error:  # noqa: BLE001  # the node's edge: the caller gets whatever the function raises
        if not execution.started:
            return _not_started(function, error, release)
        execution.fail(error)
        invocation.raised = type(error).__name__
    written, statements = _written(invocation), invocation.statements
    return Returned(**execution.outcome, written=written, read=_read(invocation, written), statements=statements)


def too_late(function: Function) -> Declined:
    """The reply to a call whose function has not begun, and no longer may."""
    message = f"the caller's deadline passed, or the caller disconnected, before {function.name} began"
    return Declined(reason=reasons.EXPIRED, message=message)


class _TooLate(Exception):
    pass


class _Execution:
    """The execution of a function, and its outcome."""

    def __init__(self, function: Function, router: Router | None, max_elements: int) -> None:
        self._function = function
        self._router = router
        self._max_elements = max_elements
        self.started = False
        self.outcome: dict[str, Any] = {}
        """The fields of the reply that state the outcome."""

    def run(self, call: Call, invocation: Invocation) -> None:
        """Call the function; raises what it raises. CodecError or TypeError, before it starts, for bad arguments."""
        # An ORM may have to load some of them.
        positional, named = decode_arguments(self._function, call.positional, call.named, self._max_elements)
        arguments = self._function.signature.bind(*positional, **named)
        if invocation.stopped:
            raise _TooLate
        for router in routers() if call.blocks else ():
            if any(router.is_named(name) for name in call.blocks):
                router.wrapped.allow_block()
        self.started = True
        work = partial(self._function.code, *arguments.args, **arguments.kwargs)
        if call.record is not None and self._router is not None:
            reply = recorded.run(self._router, call.record, work).reply
        else:
            reply = self._returned(work)
        self.outcome = {"value": reply.value, "result_lost": reply.result_lost}

    def _returned(self, work: Callable[[], Any]) -> Returned:
        result = work()
        for router in routers():
            router.wrapped.flush()
        return recorded.returned(result)

    def fail(self, error: BaseException) -> None:
        """Take over what the function raised, or what a commit raised after it had returned."""
        note_role(error)
        self.outcome = {"error": codec.encode_error(error)}


def _prepared_databases() -> ExitStack:
    """A block in which every wrapped database is ready for a function. No transaction is open after it."""
    with ExitStack() as stack:
        for router in routers():
            stack.enter_context(router.wrapped.function_scope())
        return stack.pop_all()


def _not_started(function: Function, error: BaseException, release: str) -> Declined:
    if isinstance(error, codec.CodecError | TypeError):
        advice = "; deploy the nodes first, and give new parameters a default" if isinstance(error, TypeError) else ""
        message = f"{function.name} in {release} does not accept the arguments: {error}{advice}"
        return Declined(reason=reasons.BAD_ARGUMENTS, message=message)
    message = f"{function.name} could not be started: {type(error).__name__}: {str(error).strip()}"
    return Declined(reason=reasons.UNAVAILABLE, message=message)


def _written(invocation: Invocation) -> dict[str, Position]:
    """The positions that a replica must replay to show what the function wrote, by database."""
    for database, activity in list(invocation.by_database.items()):
        if isinstance(database, Router) and (position := _position(database, activity)) is not None:
            invocation.wrote_until(database.name, position)
    return invocation.written


def _read(invocation: Invocation, written: Collection[str]) -> dict[str, Position]:
    """The positions that a replica must replay to show what the function read, of databases that it has not written."""
    session = current()
    read = dict(invocation.read)
    for router in routers():
        activity = invocation.by_database.get(router)
        if (activity is not None and activity.read) or session.servers_read(router.reference):
            read[router.name] = later(read.get(router.name), _position_now(router, session))
    return {database: position for database, position in read.items() if database not in written}


def _position_now(router: Router, session: Session) -> Position:
    try:
        return router.position_after(Activity(wrote=True), session) or UNKNOWN
    except Exception:  # as above
        log.exception(
            "could not find out the position of %r after a function",
            router.name,
            extra={"event": "position_unknown", "database": router.name},
        )
        return UNKNOWN


def _position(router: Router, activity: Activity) -> Position | None:
    try:
        return router.local.primary.position(router.name, activity)
    except NotPrimary as error:  # demoted while the function ran
        log.warning("%s", error, extra={"event": "position_unknown", "problem": str(error)})
    except Exception:  # what the function wrote is committed, and must not seem to fail
        log.exception(
            "could not find out the position of %r after a function",
            router.name,
            extra={"event": "position_unknown", "database": router.name},
        )
    return UNKNOWN
