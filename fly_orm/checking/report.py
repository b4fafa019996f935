"""The report of a check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..findings.finding import Finding, Level, worst
from ..findings.shown import Shown
from ..findings.versions import versions


@dataclass(frozen=True, kw_only=True)
class Report:
    """The findings of a check, with the settings and versions it ran with."""

    findings: Sequence[Finding]
    settings: Sequence[Shown] = ()
    versions: dict[str, str] = field(default_factory=versions)

    @property
    def level(self) -> Level:
        """The highest level among the findings."""
        return worst(self.findings)

    def as_json(self) -> dict[str, Any]:
        """The report as ``fly-orm check --json`` prints it."""
        return {
            "level": self.level.name.lower(),
            "findings": [finding.as_json() for finding in self.findings],
            "settings": {each.name: {"value": each.value, "source": each.source} for each in self.settings},
            "versions": self.versions,
        }
