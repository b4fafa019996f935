"""What the steps show: the verdict, and the medians to compare."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from .step import Kind, Step


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether every read saw its write, and every other check passed."""

    writes: int
    read_back_locally: int
    read_back_elsewhere: int
    missed: int
    wrong: tuple[str, ...]
    """The names of the other steps that failed."""

    @property
    def ok(self) -> bool:
        """Whether everything worked."""
        read_back = self.read_back_locally + self.read_back_elsewhere
        return read_back == self.writes > 0 and not self.missed and not self.wrong

    @property
    def exit_code(self) -> int:
        """The exit code of the demo."""
        return 0 if self.ok else 1

    def __str__(self) -> str:
        elsewhere = f" and {self.read_back_elsewhere} on the primary" if self.read_back_elsewhere else ""
        wrong = "".join(f"\nFailed: {name}" for name in self.wrong)
        read_back = f"{self.read_back_locally} read back locally{elsewhere}"
        return f"{self.writes} writes, {read_back}, {self.missed} missed.{wrong}"


def judge(steps: Sequence[Step]) -> Verdict:
    """The verdict on all the steps in lax."""
    reads = [step for step in steps if step.kind is Kind.READ_BACK]
    return Verdict(
        writes=sum(step.kind is Kind.WRITE for step in steps),
        read_back_locally=sum(step.ok and step.local for step in reads),
        read_back_elsewhere=sum(step.ok and not step.local for step in reads),
        missed=sum(not step.ok for step in reads),
        wrong=tuple(step.name for step in steps if step.kind is not Kind.READ_BACK and not step.ok),
    )


@dataclass(frozen=True, kw_only=True)
class Compared:
    """The median durations of one operation, in seconds: from lax, and straight to the primary."""

    name: str
    lax: float
    direct: float

    @property
    def ratio(self) -> str:
        """How fast lax is in comparison, in words."""
        ratio = self.direct / self.lax
        if 0.95 < ratio < 1.05:
            return "about the same"
        return f"{ratio:.3g}× faster" if ratio > 1 else f"{1 / ratio:.3g}× slower"


@dataclass(frozen=True, kw_only=True)
class Worked:
    """How long the hard work took when done in one way."""

    way: str
    seconds: float
    round_trips: int


def compare(lax: Iterable[Step], direct: Iterable[Step]) -> list[Compared]:
    """The medians of each step, by name."""
    in_lax, straight = _medians(lax), _medians(direct)
    return [Compared(name=name, lax=in_lax[name], direct=straight[name]) for name in in_lax]


def _medians(steps: Iterable[Step]) -> dict[str, float]:
    taken: dict[str, list[float]] = {}
    for step in steps:
        taken.setdefault(step.name, []).append(step.seconds)
    return {name: median(seconds) for name, seconds in taken.items()}
