"""The check of a whole set-up: what was found, as one value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..findings.finding import Finding, Level, worst
from ..findings.shown import Shown
from ..findings.versions import versions


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a check has found."""

    findings: Sequence[Finding]
    settings: Sequence[Shown] = ()
    versions: dict[str, str] = field(default_factory=versions)

    @property
    def level(self) -> Level:
        """That of the finding that matters most."""
        return worst(self.findings)

    def as_json(self) -> dict[str, Any]:
        """The report as ``fly-orm check --json`` prints it."""
        return {
            "level": self.level.name.lower(),
            "findings": [finding.as_json() for finding in self.findings],
            "settings": {each.name: {"value": each.value, "source": each.source} for each in self.settings},
            "versions": self.versions,
        }
