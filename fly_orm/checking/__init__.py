"""Checks a set-up: asks the local server and the nodes, tries a write, and passes the facts to ``findings/``.

:func:`environment_findings`, which asks nobody, is for checks that a framework has. Imports ``wrapping`` and the layers
below it.
"""

from ..findings.finding import Finding, Level
from ..runtime.environment import environment_findings

__all__ = ["Finding", "Level", "environment_findings"]
