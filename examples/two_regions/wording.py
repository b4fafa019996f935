"""What the demo says, whatever it is shown on."""

from __future__ import annotations

from collections.abc import Sequence

from .results import Compared
from .stage import Stage
from .step import Kind, Step

#: What is going on while the second table is made.
COMPARING = "the same app without fly_orm, straight to the primary over a link of the same length"
#: Of both tables: each column's heading, its width, and whether it holds numbers.
TOUR = (
    ("a visitor in lax …", 38, False),
    ("", 1, False),
    ("served in", 9, False),
    ("because of", 16, False),
    ("total ms", 8, True),
    ("rpc ms", 7, True),
    ("wait ms", 7, True),
)
COMPARISON = (
    ("median time of …", 43, False),
    ("in lax, ms", 10, True),
    ("straight to syd, ms", 19, True),
    ("in lax it is", 15, False),
)


def introduction(stage: Stage) -> str:
    """Who takes part."""
    rtt = f"{stage.rtt * 1000:.0f} ms"
    return (
        f"  syd   the primary, and `fly-orm serve` in front of it      process {stage.syd_pid}\n"
        f"  lax   a replica {rtt} away, and a small peewee app       process {stage.lax.pid}"
    )


def tour_row(step: Step) -> tuple[str, ...]:
    """The cells of a step."""
    rpc, wait = ("", "") if step.local else (_ms(step.rpc), _ms(step.wait))
    return step.name, _mark(step), step.region, step.why, _ms(step.seconds), rpc, wait


def comparison_row(compared: Compared) -> tuple[str, ...]:
    """The cells of a comparison."""
    return compared.name, _ms(compared.lax), _ms(compared.direct), compared.ratio


def conclusion(results: Sequence[Compared]) -> str:
    """What the comparison comes to, in a sentence."""
    read, write, page = (
        next(each for each in results if each.name.startswith(name)) for name in ("read", "insert", "a web page")
    )
    return (
        f"From lax, a read takes {_ms(read.lax)} ms instead of {_ms(read.direct)}, a write {_ms(write.lax)} instead of "
        f"{_ms(write.direct)} (and lax can read it by then), and a web page {_ms(page.lax)} instead of "
        f"{_ms(page.direct)}."
    )


def _mark(step: Step) -> str:
    if not step.ok:
        return "✗"
    return "✓" if step.kind in (Kind.READ_BACK, Kind.CHECK) else ""


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f}"
