"""The chart, as shapes in a plane: x are seconds from 0, and y goes from 0 at the top to 100 at the bottom."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .geography import REGIONS
from .history import SECONDS, History, Second

WIDTH, HEIGHT = SECONDS - 1, 100
#: How many seconds without a value a line goes on across.
_BRIDGED = 3
_MILLISECONDS_BELOW = 1.0


@dataclass(frozen=True, kw_only=True)
class Line:
    """The values of one region: an SVG path, and the value that is read, in words."""

    region: str
    path: str
    value: str


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
    """How many of the reads that are counted were served in the region itself."""
    missed: int
    failed: int


@dataclass(frozen=True, kw_only=True)
class Chart:
    """All that is drawn, and the values at one second, or those of now."""

    ago: int
    """How many seconds ago that second is; 0 is now."""
    lag: Plot
    write: Plot
    reads: list[Strip]

    @property
    def words(self) -> str:
        """All values, for those who do not see them."""
        plots = (("lag", self.lag), ("write", self.write))
        told = [f"{name} {line.region} {line.value}" for name, plot in plots for line in plot.lines]
        here = [f"{strip.region} {strip.share}" for strip in self.reads]
        then = f"{self.ago} seconds ago" if self.ago else "now"
        return f"{then}: {', '.join(told) or 'nothing measured'}; reads served locally {', '.join(here)}"


def chart(history: History, ago: int = 0) -> Chart:
    """The chart of the last seconds, with the values of now, or of so many seconds ago."""
    ago = min(max(ago, 0), WIDTH)
    seconds = {region: history.of(region) for region in REGIONS}
    lags = {region: [second.lag for second in each] for region, each in seconds.items()}
    writes = {region: [second.write for second in each] for region, each in seconds.items()}
    return Chart(
        ago=ago,
        lag=plot(lags, least=1.0, ago=ago),
        write=plot(writes, least=0.2, ago=ago),
        reads=[strip(region, each, ago) for region, each in seconds.items()],
    )


def plot(values: dict[str, list[float | None]], *, least: float, ago: int = 0) -> Plot:
    """The lines of several regions on one scale, which goes up to ``least`` or more."""
    top = nice(max((value for each in values.values() for value in each if value is not None), default=0.0), least)
    lines = [
        Line(region=region, path=path(each, top), value=newest(each[: len(each) - ago]))
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


def table(history: History) -> Iterator[tuple[int, list[tuple[str, str, str]]]]:
    """The seconds in which something was measured, the newest first: how long ago, and for each region its values."""
    seconds = {region: history.of(region) for region in REGIONS}
    for ago in range(SECONDS):
        row = [seconds[region][-1 - ago] for region in REGIONS]
        if any(second != Second() for second in row):
            shares = [strip(region, [second]).share for region, second in zip(REGIONS, row, strict=True)]
            yield (
                ago,
                [
                    (newest([second.lag]), newest([second.write]), share)
                    for second, share in zip(row, shares, strict=True)
                ],
            )


def newest(values: Sequence[float | None]) -> str:
    """The newest value that is known, of the last few seconds."""
    known = [value for value in values[-_BRIDGED:] if value is not None]
    return duration(known[-1]) if known else "–"


def strip(region: str, seconds: Sequence[Second], ago: int = 0) -> Strip:
    """Where the reads of a region were served, second by second; those of all seconds are counted, or of one."""
    counted = [seconds[-1 - ago]] if ago else seconds
    total = sum(sum(second.reads.values()) for second in counted)
    here = sum(second.reads.get(region, 0) for second in counted)
    return Strip(
        region=region,
        cells=[
            Cell(x=x, parts=_parts(second.reads), bad=bool(second.failed or second.missed))
            for x, second in enumerate(seconds)
            if second.reads or second.failed
        ],
        share=f"{round(100 * here / total)} %" if total else "–",
        missed=sum(second.missed for second in counted),
        failed=sum(second.failed for second in counted),
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
