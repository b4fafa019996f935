"""What is wrong with the environment, and with settings, before any server or node is asked."""

from __future__ import annotations

from collections.abc import Callable

from ..findings.finding import Finding
from ..findings.settings import settings_findings
from ..registry import make_transport
from ..settings import Settings, misspelt_variables


def environment_findings(settings: Settings, is_local: Callable[[str], bool] | None = None) -> list[Finding]:
    """What ``fly-orm check`` says about settings, and about the variables of the environment.

    ``is_local`` says whether messages to an address stay on this machine; by default, the transport does.
    """
    if is_local is None:
        is_local = make_transport(settings.transport, settings).is_local
    return list(settings_findings(settings, is_local, misspelt_variables()))
