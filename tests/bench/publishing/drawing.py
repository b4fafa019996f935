"""Draws plots as small PNG files: opaque, so that they can be read on light and on dark pages."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec

from ..plot import Line, Plot
from .stored import FOLDER

#: Okabe and Ito's colours, which the colour-blind can tell apart; lines differ by their markers as well.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C8C8C")
MARKERS = "osD^vPX*"
HATCHES = ("", "//", "..", "xx", "\\\\", "--", "++", "oo")
SIZE, DPI = (8.0, 4.8), 100
#: The text chunk of a PNG file that says which values were drawn.
DIGEST = "Comment"


def digest(plot: Plot) -> str:
    """Changes whenever something in the plot does."""
    return hashlib.sha256(msgspec.json.encode(plot)).hexdigest()[:16]


def file_of(plot: Plot) -> str:
    """The name of its file."""
    return f"{plot.name}.png"


def draw(plot: Plot, folder: Path = FOLDER) -> None:
    """Write the file."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot

    with pyplot.style.context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}):
        figure, axes = pyplot.subplots(figsize=SIZE, dpi=DPI, layout="constrained", facecolor="white")
        if plot.bars:
            _bars(axes, plot)
        else:
            _lines(axes, plot)
        figure.suptitle(plot.message, x=0.02, ha="left", fontsize=12)
        axes.set_xlabel(plot.x_label)
        axes.set_ylabel(plot.y_label)
        if len(plot.lines) > 1:
            figure.legend(loc="outside lower left", ncols=2, frameon=False, fontsize=9)
        figure.savefig(
            folder / file_of(plot),
            metadata={DIGEST: digest(plot), "Software": None},
            pil_kwargs={"optimize": True},
        )
        pyplot.close(figure)


def _lines(axes: Any, plot: Plot) -> None:
    for index, line in enumerate(plot.lines):
        axes.plot(line.x, line.y, label=line.name, color=_colour(index), **_line_style(index, line))
    axes.grid(alpha=0.25)
    if plot.log_x:
        axes.set_xscale("log")
        ticks = sorted({x for line in plot.lines for x in line.x if x > 0})
        if len(ticks) <= 10:
            axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
            axes.minorticks_off()
    if plot.log_y:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("")
    else:
        axes.set_ylim(bottom=0)


def _line_style(index: int, line: Line) -> dict[str, Any]:
    dense = len(line.x) > 20
    style = "--" if line.dashed else "-"
    return {"linestyle": style, "linewidth": 1.8, "marker": "" if dense else MARKERS[index % len(MARKERS)]}


def _bars(axes: Any, plot: Plot) -> None:
    height = 0.8 / len(plot.lines)
    for index, line in enumerate(plot.lines):
        places = [number + (index - (len(plot.lines) - 1) / 2) * height for number in range(len(plot.bars))]
        drawn = axes.barh(
            places, line.y, height=height, label=line.name, color=_colour(index), edgecolor="white",
            hatch=HATCHES[index % len(HATCHES)],
        )  # fmt: skip
        axes.bar_label(drawn, fmt="%.4g", padding=3, fontsize=8)
    axes.set_yticks(range(len(plot.bars)), plot.bars)
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.25)
    axes.margins(x=0.12)
    if plot.log_x:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")


def _colour(index: int) -> str:
    return COLOURS[index % len(COLOURS)]
