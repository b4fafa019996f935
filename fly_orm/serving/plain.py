"""Which requests are plain, and take the short path."""

from __future__ import annotations

from ..protocol.messages import Run
from .result_limit import writes_at_length


def is_plain(request: Run) -> bool:
    """Whether a request is one statement by itself, whose caller wants its result and the position, and nothing else.

    The statement may do anything, such as BEGIN a transaction.
    """
    return (
        request.opens_lease
        and request.wants_position
        and len(request.statements) == 1
        and request.requested_settings is None
        and request.copy_in is None
        and request.copy_in_begins is None
        and not (
            request.record
            or request.batch
            or request.watch
            or request.broken_copy_in
            or request.preamble
            or request.commits
            or request.commit_limited
            or request.ends_transaction
            or request.keeps_lease
            or request.resets
            or request.made_settings
            or request.wants_id
            or request.copy_out
            or request.copy_out_in_pieces
        )
        and not writes_at_length(request)
    )
