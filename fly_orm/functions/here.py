"""Runs a function exactly once in this process, next to the primary."""

from __future__ import annotations

import os
from contextlib import closing
from typing import Any

import psycopg2

from ..deadline import Deadline
from ..errors import (
    ConfigurationError,
    FlyOrmError,
    NotDelivered,
    NotPortable,
    NotSupported,
    OutcomeUnknown,
    ResultLost,
    TransactionLost,
)
from ..ledger import entries
from ..ledger.entries import Entry
from ..protocol.messages import Returned, Run, Settle
from ..routing.router import Router
from ..routing.settling import NO_LIMIT, until_answered
from ..sessions.operation import executing
from . import recorded
from .once import Once, stored
from .registering import Function
from .values import decoded


def run_here(
    function: Function,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    once: Once,
    ours: list[Router],
    deadline: Deadline,
) -> Any:
    """What the function returns, or has returned before with the same key. Raises what it raises.

    A lost reply to its COMMIT is settled: then raises NotDelivered if nothing was committed.
    """
    router = _router(function, once, ours)
    with executing(once.operation, router.driver_error):
        return _run_on(router, function, args, kwargs, once, deadline)


def _run_on(
    router: Router, function: Function, args: tuple[Any, ...], kwargs: dict[str, Any], once: Once, deadline: Deadline
) -> Any:
    try:
        outcome = recorded.run(router, once.record, lambda: function.code(*args, **kwargs))
    except recorded.LedgerRefused as error:
        raise router.driver_error(error.refused) from None
    except recorded.ResultNotPortable as error:
        raise NotPortable(f"{function.name}: {error}") from error.__cause__
    except recorded.TransactionBroken as error:
        raise router.driver_error(TransactionLost(f"{function.name} has committed nothing: {error}")) from error
    except recorded.CommitLost as error:
        return _decoded(function, _settled(router, once, error, deadline))
    once.done()
    return _decoded(function, outcome.reply) if outcome.earlier else outcome.result


def _router(function: Function, once: Once, ours: list[Router]) -> Router:
    """The database in whose transaction the function runs. ConfigurationError if it is not clear which one that is."""
    named = [router for router in ours if router.is_named(once.database)]
    if len(named) == 1:
        return named[0]
    if not named:
        raise ConfigurationError(f"{function.name} needs the database {once.database!r}, which this process has not")
    raise ConfigurationError(
        f"{function.name} is to be executed exactly once, in a transaction of one database, but {len(named)} database "
        f"objects of this process are named {once.database!r}, and it may use any of them. Nothing was executed. Give "
        "each a name of its own: wrap(db, name=…)"
    )


def _settled(router: Router, once: Once, lost: Exception, deadline: Deadline) -> Returned:
    def unknown(error: Exception) -> Exception:
        message = f"{lost}. It may have been executed, and nobody could be asked whether it was: {error}"
        return router.driver_error(OutcomeUnknown(message))

    limit = deadline.within(NO_LIMIT)
    entry = until_answered(lambda: _ask(router, once, limit), limit, (psycopg2.Error, FlyOrmError), unknown)
    if not entry.executed:
        message = f"{once.record.what} has committed nothing, and will not ({lost}). You can call it again"
        raise router.driver_error(NotDelivered(message)) from lost
    once.done()
    return stored(entry.reply)


def _ask(router: Router, once: Once, limit: Deadline) -> Entry:
    """What this region's server says, or if that cannot be asked, a node of wherever the primary is now."""
    try:
        with closing(router.connect()) as connection:
            return entries.settle(connection, once.record.id)
    except psycopg2.Error:
        run = Run(database=once.database, lease=os.urandom(16), newest=router.newest_timelines())
        question = Settle(run=run, id=once.record.id)
        settled = router.forwarder.settle(question, limit.within(1)).reply
        return Entry(settled.executed, settled.reply)


def _decoded(function: Function, reply: Returned) -> Any:
    if reply.value is None:
        raise ResultLost(
            f"{function.name} ran, and what it wrote is committed, but its result is lost: {reply.result_lost}"
        )
    return decoded(reply.value)


def check_no_transaction(subject: str, ours: list[Router], advice: str) -> None:
    """Raise NotSupported if a transaction is open here, which a function's own could not be a part of.

    ``subject`` and ``advice`` begin and end the message.
    """
    for router in ours:
        if router.wrapped.in_transaction():
            message = f"{subject} and cannot join the one that is open on {router.name!r}; {advice}"
            ends_by = router.wrapped.transaction_ends_by
            raise router.driver_error(NotSupported(f"{message} ({ends_by})" if ends_by else message))
