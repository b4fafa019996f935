"""One exception for a request that no node of a region took."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import FlyOrmError, NotDelivered, NotPrimary, Refused
from ..protocol.messages import BUSY


def combined(failures: Sequence[FlyOrmError], message: str, *, hint: str) -> FlyOrmError:
    """The exception that stands for the failures of all attempts, each of them a NotDelivered or a Refused.

    NotPrimary if any node said so, else Refused if any node declined, else NotDelivered, or the subclass of it that all
    have in common. ``message`` is the text, to which ``hint`` is added if a node could not be reached.
    """
    refusals = [failure for failure in failures if isinstance(failure, Refused)]
    error = _refused(refusals, message) if refusals else _not_delivered(failures, message, hint)
    error.failures = list(failures)
    error.__cause__ = failures[-1] if failures else None
    return error


def _refused(refusals: Sequence[Refused], message: str) -> Refused:
    if any(isinstance(refusal, NotPrimary) for refusal in refusals):
        return NotPrimary(message)
    reasons = [refusal.reason for refusal in refusals]
    return Refused(message, reason=BUSY if BUSY in reasons else reasons[0])  # one that is busy may be free soon


def _not_delivered(failures: Sequence[FlyOrmError], message: str, hint: str) -> NotDelivered:
    classes = {type(failure) for failure in failures if isinstance(failure, NotDelivered)}
    common = next(iter(classes)) if len(classes) == 1 else NotDelivered
    return common(message + hint if NotDelivered in classes else message)
