"""A plot, as values: what is drawn, and not how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line through points, by the name in the legend."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    dashed: bool = False
    """For a reference, a limit or a prediction, as opposed to what is of interest."""


@dataclass(frozen=True, kw_only=True)
class Plot:
    """One message, and the lines or bars that show it."""

    name: str
    """Of the file."""
    message: str
    """The title: what the reader sees in it."""
    x_label: str = ""
    """With its unit, like the other."""
    y_label: str = ""
    lines: Sequence[Line] = ()
    bars: Sequence[str] = ()
    """Names of groups of bars. Each line is then a kind of bar, whose heights are its ``y``."""
    log_x: bool = False
    log_y: bool = False
