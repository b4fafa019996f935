"""The chart, as shapes in a plane: x are seconds from 0, and y goes from 0 at the top to 100 at the bottom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .geography import REGIONS
from .history import SECONDS, History, Second

WIDTH, HEIGHT = SECONDS - 1, 100
#: How many seconds without a value a line goes on across.
_BRIDGED = 3
_MILLISECONDS_BELOW = 1.0


@dataclass(frozen=True, kw_only=True)
class Line:
    """The values of one region: an SVG path, and the newest value in words."""

    region: str
    path: str
    newest: str


@dataclass(frozen=True, kw_only=True)
class Plot:
    """Lines with a scale of their own, from 0 to ``top``."""

    top: str
    lines: list[Line]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One second of reads: a bar with a part for each region that served them, from the top down."""

    x: int
    parts: list[tuple[str, float, float]]
    """The region, where its part begins, and how high it is."""
    bad: bool
    """Whether something failed, or missed what had been written."""


@dataclass(frozen=True, kw_only=True)
class Strip:
    """Where the reads of one region were served."""

    region: str
    cells: list[Cell]
    share: str
    missed: int
    failed: int


@dataclass(frozen=True, kw_only=True)
class Chart:
    """All that is drawn."""

    lag: Plot
    write: Plot
    reads: list[Strip]


def chart(history: History) -> Chart:
    """The chart of the last seconds."""
    seconds = {region: history.of(region) for region in REGIONS}
    return Chart(
        lag=plot({region: [second.lag for second in each] for region, each in seconds.items()}, least=1.0),
        write=plot({region: [second.write for second in each] for region, each in seconds.items()}, least=0.2),
        reads=[strip(region, each) for region, each in seconds.items()],
    )


def plot(values: dict[str, list[float | None]], *, least: float) -> Plot:
    """The lines of several regions on one scale, which goes up to ``least`` or more."""
    top = nice(max((value for each in values.values() for value in each if value is not None), default=0.0), least)
    lines = [
        Line(region=region, path=path(each, top), newest=newest(each))
        for region, each in values.items()
        if any(value is not None for value in each)
    ]
    return Plot(top=duration(top), lines=lines)


def path(values: Sequence[float | None], top: float) -> str:
    """An SVG path through the values that are known. It is interrupted where none is for some seconds."""
    words = []
    last = None
    for x, value in enumerate(values):
        if value is not None:
            joined = last is not None and x - last <= _BRIDGED
            words.append(f"{'L' if joined else 'M'}{x} {HEIGHT * (1 - value / top):.1f}")
            last = x
    return "".join(words)


def newest(values: Sequence[float | None]) -> str:
    """The newest value that is known, of the last few seconds."""
    known = [value for value in values[-_BRIDGED:] if value is not None]
    return duration(known[-1]) if known else "–"


def strip(region: str, seconds: Sequence[Second]) -> Strip:
    """Where the reads of a region were served, second by second."""
    total = sum(sum(second.reads.values()) for second in seconds)
    here = sum(second.reads.get(region, 0) for second in seconds)
    return Strip(
        region=region,
        cells=[
            Cell(x=x, parts=_parts(second.reads), bad=bool(second.failed or second.missed))
            for x, second in enumerate(seconds)
            if second.reads or second.failed
        ],
        share=f"{round(100 * here / total)} %" if total else "–",
        missed=sum(second.missed for second in seconds),
        failed=sum(second.failed for second in seconds),
    )


def _parts(reads: dict[str, int]) -> list[tuple[str, float, float]]:
    total = sum(reads.values())
    parts = []
    begin = 0.0
    for region in REGIONS:
        height = HEIGHT * reads.get(region, 0) / total if total else 0.0
        if height:
            parts.append((region, round(begin, 1), round(height, 1)))
            begin += height
    return parts


def nice(value: float, least: float) -> float:
    """The smallest of 1, 2, 3, 5 times a power of ten that is not below the value and ``least``."""
    wanted = max(value, least)
    power = 1e-6
    while True:
        for factor in (1, 2, 3, 5):
            if factor * power >= wanted * (1 - 1e-9):
                return factor * power
        power *= 10


def duration(seconds: float) -> str:
    """A duration for people: ``152 ms`` or ``3.4 s``."""
    if seconds < _MILLISECONDS_BELOW:
        return f"{1000 * seconds:.0f} ms"
    return f"{seconds:.1f}".removesuffix(".0") + " s"
