"""The texts of the demo, for either kind of screen."""

from __future__ import annotations

from collections.abc import Sequence

from .results import Compared, Worked
from .stage import Stage
from .step import ITEMS, Kind, Step

#: Shown while the second table fills.
COMPARING = "now the same app without fly_orm, straight to the primary over the same distance"
#: Each column's heading, its width, and whether it holds numbers.
TOUR = (
    ("a visitor in lax …", 38, False),
    ("", 1, False),
    ("served in", 9, False),
    ("because", 16, False),
    ("total ms", 8, True),
    ("rpc ms", 7, True),
    ("wait ms", 7, True),
)
COMPARISON = (
    ("median time of …", 43, False),
    ("in lax, ms", 10, True),
    ("straight to syd, ms", 19, True),
    ("lax is", 15, False),
)
#: Shown while the third table fills.
WORKING = f"hard work: {ITEMS} posts from lax, in the two slow ways at the same time"
HARD_WORK = (
    (f"{ITEMS} posts from lax …", 43, False),
    ("seconds", 10, True),
    ("round trips", 19, True),
)
_WAYS = {
    "each": "one by one, in a loop",
    "transaction": "the same loop in one atomic()",
    "function": "the same loop in one @on_primary function",
}


def introduction(stage: Stage) -> str:
    """The two regions and their processes."""
    syd = "the primary, and `fly-orm serve` in front of it"
    lax = f"a replica {stage.rtt * 1000:.0f} ms away, and a small peewee app"
    return f"  syd   {syd:54}process {stage.syd_pid}\n  lax   {lax:54}process {stage.lax.pid}"


def tour_row(step: Step) -> tuple[str, ...]:
    """The cells of a step."""
    rpc, wait = ("", "") if step.local else (_ms(step.rpc), _ms(step.wait))
    return step.name, _mark(step), step.region, step.why, _ms(step.seconds), rpc, wait


def comparison_row(compared: Compared) -> tuple[str, ...]:
    """The cells of a comparison."""
    return compared.name, _ms(compared.lax), _ms(compared.direct), compared.ratio


def conclusion(results: Sequence[Compared]) -> str:
    """The result of the comparison, in a sentence."""
    read, write, page = (
        next(each for each in results if each.name.startswith(name)) for name in ("read", "insert", "a web page")
    )
    return (
        f"From lax, a read takes {_ms(read.lax)} ms instead of {_ms(read.direct)}, a write {_ms(write.lax)} instead of "
        f"{_ms(write.direct)} (which lax can read by then), and a web page {_ms(page.lax)} instead of "
        f"{_ms(page.direct)}."
    )


def work_row(worked: Worked) -> tuple[str, ...]:
    """The cells of one way to do the hard work."""
    return _WAYS[worked.way], f"{worked.seconds:.2f}", str(worked.round_trips)


def lesson(work: Sequence[Worked]) -> str:
    """The result of the hard work, in a sentence."""
    loop, function = (next(worked for worked in work if worked.way == way) for way in ("each", "function"))
    return (
        f"Moved to the primary region as one call, the work takes {function.seconds:.2f} s instead of "
        f"{loop.seconds:.1f} s, and lax has all of it by then."
    )


def _mark(step: Step) -> str:
    if not step.ok:
        return "✗"
    return "✓" if step.kind in (Kind.READ_BACK, Kind.CHECK) else ""


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f}"
