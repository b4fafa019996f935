"""Which requests are plain, and take the short path."""

from __future__ import annotations

from operator import attrgetter

from ..classify.long_results import returns_much
from ..protocol.messages import Run

#: Fields that ask for more than a result and a position, and what they are in a request that does not.
_UNUSED = (
    "requested_settings",
    "made_settings",
    "resets",
    "preamble",
    "batch",
    "copy_in",
    "broken_copy_in",
    "copy_in_begins",
    "copy_out",
    "copy_out_in_pieces",
    "piece_bytes",
    "keeps_lease",
    "commits",
    "ends_transaction",
    "commit_limited",
    "wants_id",
    "watch",
    "record",
)
_read_unused = attrgetter(*_UNUSED)
_NOTHING = _read_unused(Run(database="", lease=b""))


def is_plain(request: Run) -> bool:
    """Whether a request is one statement by itself, whose caller wants its result and the position, and nothing else.

    The statement may do anything, such as BEGIN a transaction. Its result comes as a whole.
    """
    return (
        request.opens_lease
        and request.wants_position
        and len(request.statements) == 1
        and _read_unused(request) == _NOTHING
        and not returns_much(request.statements[0])  # or it would be looked at before it commits
    )
