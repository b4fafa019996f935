"""What the attempts of one request came to, and the one exception that stands for all of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from ..errors import AuthenticationFailed, FlyOrmError, NoChannel, NotDelivered, NotPrimary, Refused
from ..protocol import reasons

#: Reasons for declining that leave open whether another region has the primary: the node's server is a replica or
#: cannot be reached, or the node is shutting down.
_NO_PRIMARY = frozenset({reasons.NOT_PRIMARY, reasons.UNAVAILABLE, reasons.DRAINING})
#: Those of them by which a node says that the primary is not where the node is.
_NOT_HERE = frozenset({reasons.NOT_PRIMARY, reasons.UNAVAILABLE})


class Failures:
    """The failed attempts of one request, each a NotDelivered or a Refused, with the region that was tried."""

    def __init__(self) -> None:
        self._attempts: list[tuple[str, FlyOrmError]] = []

    def add(self, region: str, error: FlyOrmError) -> None:
        """Note that an attempt in a region failed, or that its nodes are not known."""
        self._attempts.append((region, error))

    @property
    def errors(self) -> list[FlyOrmError]:
        """The errors, in order."""
        return [error for _, error in self._attempts]

    def of(self, regions: Collection[str]) -> list[FlyOrmError]:
        """The errors of these regions, in order."""
        return [error for region, error in self._attempts if region in regions]

    def declined(self, region: str) -> bool:
        """Whether a node of the region has declined the request."""
        return any(isinstance(error, Refused) for error in self.of([region]))

    @property
    def none_reached(self) -> bool:
        """Whether no attempt has reached a node."""
        return all(isinstance(error, NotDelivered) for error in self.errors)

    @property
    def found_full(self) -> bool:
        """Whether a node had no place for a channel."""
        return any(isinstance(error, NoChannel) and error.full for error in self.errors)

    @property
    def may_pass(self) -> bool:
        """Whether all of this is as it is while nodes or the primary restart, or the primary moves."""
        return self.suggest_elsewhere and not all(isinstance(error, AuthenticationFailed) for error in self.errors)

    @property
    def suggest_elsewhere(self) -> bool:
        """Whether every attempt leaves open that the primary is in another region."""
        return leave_it_open(self.errors)


def leave_it_open(errors: Iterable[FlyOrmError]) -> bool:
    """Whether each of these failed attempts leaves it open that the primary is somewhere else."""
    return all(
        error.reason in _NO_PRIMARY if isinstance(error, Refused) else not isinstance(error, NoChannel)
        for error in errors
    )


def have_no_primary(errors: Iterable[FlyOrmError]) -> bool:
    """Whether every node that was tried has answered that its server is no primary, or cannot be reached."""
    return all(isinstance(error, Refused) and error.reason in _NOT_HERE for error in errors)


def causes(errors: Sequence[FlyOrmError]) -> str:
    """The messages of the errors, each once and on one line."""
    return "; ".join(dict.fromkeys(_on_one_line(str(error)) for error in errors))


def _on_one_line(text: str) -> str:
    """A message on one line, without the hints of libpq, which are indented questions about the node's own server."""
    return "; ".join(" ".join(line.split()) for line in text.splitlines() if line.strip() and not line.startswith("\t"))


def sentences(*texts: str) -> str:
    """The texts as sentences, one after another, without a full stop at the end, as error messages are."""
    return " ".join(text if text.endswith(("?", "!", ".")) else f"{text}." for text in texts if text).removesuffix(".")


def combined(failures: Sequence[FlyOrmError], message: str, *, hint: str) -> FlyOrmError:
    """The exception that stands for the failures of all attempts, each of them a NotDelivered or a Refused.

    NotPrimary if any node said so, else Refused if any node declined, else NotDelivered, or the subclass of it that all
    have in common. ``message`` is the text, and ``hint`` a sentence that is added if a node could not be reached.
    """
    refusals = [failure for failure in failures if isinstance(failure, Refused)]
    error = _refused(refusals, message) if refusals else _not_delivered(failures, message, hint)
    error.failures = list(failures)
    error.__cause__ = failures[-1] if failures else None
    return error


def _refused(refusals: Sequence[Refused], message: str) -> Refused:
    if any(isinstance(refusal, NotPrimary) for refusal in refusals):
        return NotPrimary(message)
    given = [refusal.reason for refusal in refusals]
    # One that is busy may be free soon.
    return Refused(message, reason=reasons.BUSY if reasons.BUSY in given else given[0])


def _not_delivered(failures: Sequence[FlyOrmError], message: str, hint: str) -> NotDelivered:
    classes = {type(failure) for failure in failures if isinstance(failure, NotDelivered)}
    common = next(iter(classes)) if len(classes) == 1 else NotDelivered
    return common(sentences(message, hint) if NotDelivered in classes else message)
