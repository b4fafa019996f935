"""What a run comes to, as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tests.support.tables import Table

from .history import AnyEvent, Fault, Lost
from .operations import Fate, operations
from .violations import Violation
from .writes import Writes

#: So many violations are shown in full.
SHOWN = 10
#: Faults so many seconds before a violation are shown with it.
BEFORE = 8.0


@dataclass(frozen=True, kw_only=True)
class Report:
    """The events of a run, and the violations that they show."""

    events: Sequence[AnyEvent]
    violations: Sequence[Violation]

    @property
    def faults(self) -> Counter[str]:
        """How many there were, by kind."""
        return Counter(event.kind for event in self.events if isinstance(event, Fault))

    @property
    def lost(self) -> int:
        """How many writes failovers have lost."""
        return sum(len(event.rows) for event in self.events if isinstance(event, Lost))

    @property
    def unknown(self) -> int:
        """How many writes have an outcome that their callers do not know."""
        found = operations(self.events).values()
        return sum(each.rows > 0 and each.fate is Fate.UNKNOWN and each.ended is not None for each in found)

    @property
    def looked_for(self) -> int:
        """How many of them were looked for once their outcome could not change any more."""
        return Writes(operations(self.events), self.events).looked_for

    @property
    def advised(self) -> str:
        """What callers did themselves about unknown outcomes, as is advised."""
        each = [(each.began.at, each.ended) for each in operations(self.events).values() if each.ended is not None]
        repeated = [ended.at - began for began, ended in each if ended.repeated]
        return (
            f"callers looked for what they had written {sum(ended.looked for _, ended in each)} times, and repeated "
            f"{len(repeated)} writes, for {max(repeated, default=0.0):.0f} s at most"
        )

    @property
    def counts(self) -> Counter[tuple[str, str]]:
        """How many operations there were, by kind and outcome."""
        return Counter((each.began.kind, each.outcome) for each in operations(self.events).values())

    @property
    def done(self) -> int:
        """How many operations have succeeded."""
        return sum(number for (_, outcome), number in self.counts.items() if outcome == "done")

    def __str__(self) -> str:
        return "\n\n".join(
            [
                str(self._outcomes()),
                str(self._faults()),
                f"writes lost by failovers to a replica that lacked them: {self.lost}",
                f"writes of unknown outcome: {self.unknown}; looked for once that was conclusive: {self.looked_for}",
                self.advised,
                *(f"{each}\n{self._before(each)}" for each in self.violations[:SHOWN]),
                f"violations: {len(self.violations)}",
            ]
        )

    def _outcomes(self) -> Table:
        counts = self.counts
        kinds = sorted({kind for kind, _ in counts})
        outcomes = sorted({outcome for _, outcome in counts}, key=lambda outcome: (outcome != "done", outcome))
        total = counts.total()
        rows = [(kind, *(counts[kind, outcome] or "" for outcome in outcomes)) for kind in kinds]
        return Table(title=f"{total} operations by outcome", headings=("operation", *outcomes), rows=rows)

    def _faults(self) -> Table:
        faults = self.faults
        return Table(
            title=f"{faults.total()} faults", headings=("fault", "number"), rows=sorted(faults.items(), key=str)
        )

    def _before(self, violation: Violation) -> str:
        """The faults shortly before a violation."""
        at = violation.at
        faults = [event for event in self.events if isinstance(event, Fault) and at - BEFORE < event.at <= at]
        return "\n".join(f"    {event.at - at:.2f} s: {event.kind} {event.target}" for event in faults)
