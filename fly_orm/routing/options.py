"""How a database was wrapped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ..runtime.runtime import Runtime
from ..sessions.wait import Wait
from ..settings import Settings

#: Where reads run that nothing else sends to the primary.
Reads = Literal["replica", "primary"]
#: What happens when the replica has not replayed a write in time.
OnLag = Literal["primary", "raise"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """The arguments of :func:`fly_orm.wrap`, which describes them."""

    runtime: Runtime
    settings: Settings
    """The runtime's, with this database's own timeouts."""
    name: str | None = None
    wait: Wait = "write"
    reads: Reads = "replica"
    on_lag: OnLag = "primary"
    exactly_once: bool = False
    primary_functions: tuple[str, ...] = ()
    session_functions: Mapping[str, tuple[str, ...] | None] = field(default_factory=dict)
    """With the settings that each of them changes; None if it leaves other state too."""
