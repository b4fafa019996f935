"""How a database was wrapped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..runtime.runtime import Runtime
from ..sessions.wait import Wait
from ..settings import Settings
from .arguments import Arguments, OnLag, Reads


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


def options_of(arguments: Arguments, runtime: Runtime) -> Options:
    """The options under a runtime's settings; ConfigurationError for a timeout that is wrong."""
    return Options(
        runtime=runtime,
        settings=runtime.settings.with_timeouts(**dict(arguments.timeouts)),
        name=arguments.name,
        wait=arguments.wait,
        reads=arguments.reads,
        on_lag=arguments.on_lag,
        exactly_once=arguments.exactly_once,
        primary_functions=arguments.primary_functions,
        session_functions=dict(arguments.session_functions),
    )
