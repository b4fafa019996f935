"""Which calls are recorded in the ledger, and how a lost reply to one of them is settled."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import msgspec

from ..deadline import Deadline
from ..errors import ConfigurationError, NotDelivered, NotSupported, OutcomeUnknown
from ..forwarding.forwarder import Forwarder
from ..forwarding.response import Response
from ..forwarding.settled import without_reply
from ..position import UNKNOWN
from ..protocol.encoding import MessageError, decode_reply
from ..protocol.messages import Call, Record, Returned, Run, Settle, Settled, digest
from ..routing import settling
from ..routing.recording import new_id
from ..routing.router import Router
from ..sessions.operation import Operation, current_operation, new_operation
from .arguments import encode_positional
from .registering import Function
from .values import encoded


@dataclass(frozen=True, kw_only=True)
class Once:
    """How a call is recorded."""

    record: Record
    database: str
    operation: Operation | None

    def as_another_request(self) -> Once:
        """The same for a request of its own: the ledger may have voided this one, which was not executed."""
        return replace(self, record=msgspec.structs.replace(self.record, id=new_id()))

    def done(self) -> None:
        """Note that the call was executed."""
        if self.operation is not None:
            self.operation.done = True


def once(
    function: Function,
    exactly_once: bool | str,
    key: str | None,
    databases: Collection[Router],
    asked: Callable[[], str],
) -> Once | None:
    """How to record a call; None if it is not to be executed exactly once. ConfigurationError if that is not clear.

    ``databases`` are those of this region, of which the function uses one. ``asked`` makes what :func:`asked_of`
    returns.
    """
    operation = current_operation() if key is None else new_operation(key)
    if not exactly_once and operation is None:
        return None
    if operation is not None:
        operation.begin()
    record = Record(id=new_id(), what=f"a call of {function.name}")
    if operation is not None:
        record = msgspec.structs.replace(record, operation=operation.key, asked=asked())
    return Once(record=record, database=_database(function, exactly_once, databases), operation=operation)


def asked_of(function: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    """A digest of a call's arguments, however they are passed. NotPortable if one of them could not travel."""
    bound = function.signature.bind(*args, **kwargs)
    label = f"an argument of {function.name}, which is called with an operation key"
    positional = encode_positional(function, bound.args, label)
    named = [part for name in sorted(bound.kwargs) for part in (name.encode(), encoded(bound.kwargs[name], label))]
    return digest([str(len(positional)).encode(), *positional, *named])


def check_on_primary(function: Function, call: Call) -> None:
    """Raise NotSupported unless the call runs in the region of the primary, as all do that are recorded."""
    if not call.on_primary:
        raise NotSupported(
            f"{function.name} can be executed exactly once only in the primary region. Nothing was sent. Call it with "
            "fly_orm.PRIMARY as its region"
        )


def exchange(
    forwarder: Forwarder,
    region: str | None,
    call: Call,
    deadline: Deadline,
    *,
    last_resort: bool,
) -> Response[Returned]:
    """The response to a call, or what it would have been if it had arrived; see :meth:`Forwarder.call`.

    If the call is recorded, a lost reply is settled, and if it was not committed, raises NotDelivered.
    """
    record = call.record
    if record is None:
        return forwarder.call(region, call, deadline, last_resort=last_resort)
    run = Run(database=call.database, lease=os.urandom(16), newest=call.newest.get(call.database, []))
    return settling.exchange(
        forwarder,
        lambda limit: forwarder.call(region, call, limit, last_resort=last_resort),
        lambda: Settle(run=run, id=record.id),
        partial(_as_reply, call),
        deadline,
    )


def _as_reply(call: Call, answer: Response[Settled], unknown: OutcomeUnknown) -> Returned:
    settled = answer.reply
    if not settled.executed:
        raise NotDelivered(
            f"{call.function} has committed nothing, and will not, as {answer.node} says ({without_reply(unknown)}). "
            "You can call it again"
        ) from unknown
    return msgspec.structs.replace(stored(settled.reply), written={call.database: settled.position or UNKNOWN})


def stored(reply: bytes | None) -> Returned:
    """What a function has returned, as the ledger has it."""
    with suppress(MessageError):
        decoded = None if reply is None else decode_reply(reply)
        if isinstance(decoded, Returned):
            return decoded
    return Returned(result_lost="the ledger does not have it, because it is too long")


def _database(function: Function, exactly_once: bool | str, databases: Collection[Router]) -> str:
    if isinstance(exactly_once, str):
        return exactly_once
    known = {router.name: router.exactly_once for router in databases}
    chosen = [name for name, recorded in known.items() if recorded] or list(known)
    if len(chosen) != 1:
        found = ", ".join(sorted(chosen)) or "none is wrapped"
        raise ConfigurationError(
            f"{function.name} is to be executed exactly once, in a transaction of one database, but it is not clear of "
            f'which one ({found}). Give its name: exactly_once="name"'
        )
    return chosen[0]
