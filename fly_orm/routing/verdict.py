"""Whether a server that takes writes may be written, judged by what nodes say of theirs. Pure."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import NamedTuple

from ..protocol.messages import Described
from ..topology import Node


class Verdict(enum.Enum):
    """What a server that is not in recovery turns out to be."""

    CONFIGURED = "the primary, since the settings say so"
    THE_PRIMARY = "the primary that nodes write to, or that their replicas follow"
    PROMOTED = "a replica of that primary that was promoted"
    UNCHECKED = "a primary in a system without nodes, where there is nothing to compare it with"
    OTHER_SYSTEM = "a server of another database system"
    COPY = "a copy of the primary"
    SUPERSEDED = "a former primary"
    UNDECIDED = "no node could tell"

    @property
    def may_write(self) -> bool:
        """Whether the server may be written."""
        return not self.is_wrong and self is not Verdict.UNDECIDED

    @property
    def is_wrong(self) -> bool:
        """Whether what is written to the server would be missing everywhere else."""
        return self in (Verdict.OTHER_SYSTEM, Verdict.COPY, Verdict.SUPERSEDED)


class Answer(NamedTuple):
    """What a node says of its server."""

    node: Node
    server: Described

    def __str__(self) -> str:
        kind = "server" if self.server.primary else "replica"
        return f"{self.server.address}, the {kind} of {self.node}"


def judge(
    own: Described, answers: Sequence[Answer], *, primary_region: str | None, complete: bool
) -> tuple[Verdict, Answer | None]:
    """What the own server is, and the answer that shows it; ``complete`` if the nodes of all regions have answered.

    Replicas on the own server's timeline prove nothing by themselves, because a copy of the primary is on that timeline
    too. But if all regions have answered, and none of them has another primary, then it is this one.
    """
    for answer in answers:
        if answer.server.run == own.run:
            return Verdict.THE_PRIMARY, answer
    verdicts = [(_compare(own, answer.server), answer) for answer in _of_one_system(answers, primary_region)]
    for decisive in (Verdict.OTHER_SYSTEM, Verdict.SUPERSEDED, Verdict.COPY, Verdict.PROMOTED, Verdict.THE_PRIMARY):
        for verdict, answer in verdicts:
            if verdict is decisive and (complete or verdict is not Verdict.THE_PRIMARY):
                return verdict, answer
    return Verdict.UNDECIDED, None


def _of_one_system(answers: Sequence[Answer], primary_region: str | None) -> list[Answer]:
    """The answers from the primary region's system, or else from the only one; none if regions contradict each other.

    The address of another region may be wrong as well.
    """
    known = [answer for answer in answers if answer.server.history is not None]
    of_primary = [answer for answer in known if answer.node.region == primary_region]
    systems = {_system(answer) for answer in of_primary or known}
    return [answer for answer in known if _system(answer) in systems] if len(systems) == 1 else []


def _system(answer: Answer) -> int | None:
    return None if answer.server.history is None else answer.server.history.system


def _compare(own: Described, other: Described) -> Verdict:
    if own.history is None or other.history is None:
        return Verdict.UNDECIDED
    if own.history.system != other.history.system:
        return Verdict.OTHER_SYSTEM
    if own.history.is_behind(other.history):
        return Verdict.SUPERSEDED
    if other.history.is_behind(own.history):
        return Verdict.PROMOTED
    # Of two primaries on one timeline, one began with a copy of the other's files.
    return Verdict.COPY if other.primary else Verdict.THE_PRIMARY
