"""What a caller takes over from the reply to a request that was executed."""

from __future__ import annotations

from typing import Any

from ..classify import Statement
from ..forwarding.replied import after_reply, could_not
from ..forwarding.response import Response
from ..protocol.messages import Done, Run
from ..sessions.context import current
from ..sessions.running import note_served
from ..sessions.served import Route, Served
from .freshness import NOT_AT_ALL, Waited
from .router import Router
from .session_following import follow_there
from .transaction import RemoteTransaction


def note_executed(
    router: Router, connection: Any, response: Response[Done], why: str, *, writes: bool, waited: float
) -> Waited:
    """Take over what the reply says of the primary, and wait for the replica. Never raises.

    ``waited`` is the number of seconds for which the statement has waited for it before.
    """
    replica, position = NOT_AT_ALL, response.reply.position
    if position is not None:
        try:
            router.note_primary(position, response.node)
        except Exception as error:  # noqa: BLE001  # the request was executed
            could_not("note the timeline of the primary", error)
        try:
            # Reads on the primary count too, above all those of a caller that tries again after a rollback.
            if writes and response.reply.may_have_written:
                replica = router.freshness.wait(position, connection=connection)
            else:
                router.freshness.expect(position)
        except Exception as error:  # noqa: BLE001
            could_not("wait for the replica", error)
    wait = waited + replica.seconds
    served = Served(route=Route.PRIMARY, why=why, node=str(response.node), rpc=response.elapsed, wait=wait)
    note_served(current(), served)
    return replica


def note_session(
    router: Router,
    connection: Any,
    run: Run,
    response: Response[Done],
    statement: Statement,
    transaction: RemoteTransaction | None,
) -> None:
    """Take over what the reply says of the Postgres session, and of the transaction that was open. Never raises."""
    done = response.reply
    if done.session is not None:
        with after_reply("give the replica's session what has changed in the primary's"):
            follow_there(connection, done.session)
    unreported = response.settled and run.watch is not None  # it may have changed settings, and nobody knows which
    if (run.keeps_lease or unreported) and not done.lease_open:
        with after_reply("close the connection, whose session on the primary is lost"):
            connection.close()  # as the driver does when it loses its server
    if done.error is None:
        if statement.defines_functions or (transaction is not None and transaction.defines_functions):
            router.session_functions.forget()
        if transaction is not None:
            transaction.note(statement)
