"""What became of a request whose caller got no reply."""

from __future__ import annotations

from ..errors import Refused
from ..ledger import entries, table
from ..postgres.primary_connection import PrimaryConnection
from ..postgres.transaction_ids import has_committed
from ..protocol import reasons
from ..protocol.messages import OpenTransaction, Settle, Settled


def settled(connection: PrimaryConnection, question: Settle) -> Settled:
    """The answer, as the primary of the connection gives it. The request can commit nothing from then on.

    Refused if the database has no ledger, if the transaction in question has not ended, or if the server has restarted
    after a crash, so that its id may be another transaction's.
    """
    if question.transaction is not None:
        executed, reply = _has_committed(connection, question.transaction), None
    else:
        table.check_exists(connection.raw)
        executed, reply = entries.settle(connection.raw, question.id)
    position = connection.wal.commit_position() if executed else None
    return Settled(executed=executed, reply=reply, position=position)


def _has_committed(connection: PrimaryConnection, transaction: OpenTransaction) -> bool:
    committed = has_committed(connection.raw, connection.server_run, transaction)
    if committed is None:
        raise Refused(
            f"the primary cannot tell whether transaction {transaction.id} has committed: it has not ended, or the "
            "server has been restarted after a crash",
            reason=reasons.UNDECIDED,
        )
    return committed
