"""Repeats a read that was sent to the primary, and whose reply was lost."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import msgspec

from ..deadline import Deadline
from ..errors import FlyOrmError, OutcomeUnknown
from ..forwarding.copying import CopyData
from ..forwarding.response import Response
from ..protocol.messages import Done, Run
from .replica_errors import READ_ONLY

Send = Callable[[Run, CopyData | None, Deadline], Response[Done]]

_SET_READ_ONLY = b"SET default_transaction_read_only = on"


def send_read(send: Send, run: Run, copy: CopyData | None, deadline: Deadline) -> Response[Done]:
    """What ``send`` returns for a read over a lease of its own, which is sent once more if no reply to it arrives.

    What looks like a read may write all the same, by a function behind a view. So the second one runs READ ONLY: either
    it is a read, of which the first one has done no more either, or it fails, and the outcome stays unknown.
    """
    try:
        return send(run, copy, deadline)
    except OutcomeUnknown:
        if deadline.expired or not _stands_alone(run):
            raise
        again = msgspec.structs.replace(run, session_settings=[*run.session_settings, _SET_READ_ONLY])
        with suppress(FlyOrmError):  # which would say nothing about the first one
            response = send(again, copy, deadline)
            if (error := response.reply.error) is None or error.sqlstate != READ_ONLY:
                return response
        raise


def _stands_alone(run: Run) -> bool:
    """Whether the request belongs to no transaction, leaves nothing that is needed, and has given nothing away yet."""
    return not (run.preamble or run.keeps_lease or run.batch or run.record or run.copy_out)
