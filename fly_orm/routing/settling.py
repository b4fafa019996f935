"""Finds out what became of a request whose reply did not arrive, if there is somebody to ask."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import msgspec

from ..concurrency.latch import Bell
from ..deadline import Deadline, now
from ..errors import FlyOrmError, NotDelivered, OutcomeUnknown, Refused, ResultLost, TransactionLost
from ..forwarding.forwarder import Forwarder
from ..forwarding.response import Response
from ..forwarding.settled import advice, without_reply
from ..observing.events import UnknownOutcome
from ..observing.listeners import emit, listeners
from ..protocol.encoding import MessageError, decode_reply
from ..protocol.messages import Done, Reply, Result, Run, Settle, Settled

#: Seconds of the caller's time that are kept for asking.
RESERVE = 2.0
#: Seconds for which the question is repeated if the request had no time limit.
NO_LIMIT = 30.0
#: Seconds between two attempts to ask.
INTERVAL = 0.1

T = TypeVar("T")
R = TypeVar("R", bound=Reply)


def exchange(
    forwarder: Forwarder,
    send: Callable[[Deadline], Response[R]],
    ask: Callable[[], Settle] | None,
    as_reply: Callable[[Response[Settled], OutcomeUnknown], R],
    deadline: Deadline,
    *,
    in_pieces: bool = False,
) -> Response[R]:
    """What ``send`` returns, or would have returned if the reply had arrived.

    ``ask`` makes the question to nodes of the primary region; None if no node could answer it. A part of the time is
    kept for it. ``as_reply`` makes the reply of the answer, or raises an error which says that nothing was committed.
    OutcomeUnknown if nobody answers by the deadline; a request ``in_pieces`` may take longer than that, and then some
    time is left for asking.
    """
    if ask is None:
        return send(deadline)
    try:
        return send(deadline.reserving(RESERVE))
    except OutcomeUnknown as unknown:
        limit = Deadline.after(RESERVE) if in_pieces and deadline.expired else deadline
        answer = _settle(forwarder, ask(), unknown, limit)
        return Response(reply=as_reply(answer, unknown), node=answer.node, elapsed=answer.elapsed, settled=True)


def tell_if_unknown(error: FlyOrmError, *, database: str | None = None, function: str | None = None) -> None:
    """Tell observers that nobody knows what became of a request, if this is the error that its caller gets."""
    if listeners.unknown_outcome and isinstance(error, OutcomeUnknown):
        emit(UnknownOutcome(database=database, function=function, node=error.node or None, why=str(error)))


def _settle(forwarder: Forwarder, question: Settle, unknown: OutcomeUnknown, deadline: Deadline) -> Response[Settled]:
    began, limit = now(), deadline.within(NO_LIMIT)
    with suppress(NotDelivered, Refused):  # of the others, one will answer sooner than the one that did not reply
        return forwarder.settle(question, limit, avoid=unknown.node or "")
    return until_answered(
        lambda: forwarder.settle(question, limit),
        limit,
        (NotDelivered, Refused),
        lambda error: _still_unknown(unknown, error, now() - began),
    )


def until_answered(
    ask: Callable[[], T],
    limit: Deadline,
    unanswered: tuple[type[Exception], ...],
    give_up: Callable[[Exception], Exception],
) -> T:
    """What ``ask`` returns, which is called until it does; what ``give_up`` makes of its last error after the limit."""
    pause = Bell()
    while True:
        try:
            return ask()
        except unanswered as error:
            if (limit.remaining() or 0.0) <= INTERVAL:
                raise give_up(error) from error
            pause.wait(INTERVAL)


def _still_unknown(unknown: OutcomeUnknown, error: Exception, spent: float) -> OutcomeUnknown:
    """The error if nobody could tell, after so many seconds of asking, during which the request was settling."""
    after = None if unknown.settled_after is None else max(0.0, unknown.settled_after - spent)
    why = getattr(error, "failures", ())[-1:] or (error,)  # the last attempt; all of them are in the error's cause
    message = (
        f"{without_reply(unknown)}. The request may have been executed, and nobody could be asked whether it was "
        f"({why[0]}); {advice(after)}"
    )
    return OutcomeUnknown(message, **{**unknown.__dict__, "settled_after": after})


def statements_reply(run: Run, answer: Response[Settled], unknown: OutcomeUnknown) -> Done:
    """The reply to a statement or a COMMIT that did not arrive.

    If it was not executed, raises TransactionLost for a COMMIT, and NotDelivered for anything else.
    """
    settled = answer.reply
    if not settled.executed:
        raise _not_executed(run, answer, unknown)
    if run.commits:
        done = Done(result=Result(status_message="COMMIT"))
    elif run.batch is not None and settled.reply is None and not any(step.unlike for step in run.batch.steps):
        done = Done(results=[Result(row_count=max(1, step.least_rows)) for step in run.batch.steps])
    else:
        done = _stored(settled.reply, unknown)
    return msgspec.structs.replace(done, position=settled.position)


def _not_executed(run: Run, answer: Response[Settled], unknown: OutcomeUnknown) -> FlyOrmError:
    why = f"as {answer.node} says ({without_reply(unknown)}). You can repeat it"
    if run.has_commit:
        return TransactionLost(f"the transaction was not committed, and will not be, {why}")
    return NotDelivered(f"the statement was not executed, and will not be, {why}")


def _stored(reply: bytes | None, unknown: OutcomeUnknown) -> Done:
    if reply is not None:
        try:
            done = decode_reply(reply)
        except MessageError as error:
            raise ResultLost(f"{_LOST}: {error}") from unknown
        if isinstance(done, Done):
            return done
    raise ResultLost(f"{_LOST}, because it is too long, or was written by another role") from unknown


_LOST = "the statement was executed, but its reply did not arrive, and the ledger does not have its result"
