"""The arguments that :func:`fly_orm.wrap` and :func:`fly_orm.connection_factory` have in common, once checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from ..errors import ConfigurationError, check_choice
from ..sessions.wait import WAITS, Wait

#: Where reads run that nothing else sends to the primary.
Reads = Literal["replica", "primary"]
#: What happens when the replica has not replayed a write in time.
OnLag = Literal["primary", "raise"]
#: The names of functions, or the settings that each of them changes.
SessionFunctions = Iterable[str] | Mapping[str, Iterable[str] | None]


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Everything but the settings. Equal arguments have equal hashes."""

    name: str | None
    wait: Wait
    reads: Reads
    on_lag: OnLag
    exactly_once: bool
    timeouts: tuple[tuple[str, float | str | None], ...]
    """Those that were given, by name."""
    primary_functions: tuple[str, ...]
    session_functions: tuple[tuple[str, tuple[str, ...] | None], ...]
    """With the settings that each of them changes; None if it may change anything."""


def checked(
    *,
    name: str | None,
    wait: Wait,
    reads: Reads,
    on_lag: OnLag,
    exactly_once: bool,
    rpc_timeout: float | str | None,
    replication_timeout: float | str | None,
    primary_functions: Iterable[str],
    session_functions: SessionFunctions,
) -> Arguments:
    """The arguments; ConfigurationError for one that is wrong. Timeouts are checked with the settings."""
    check_choice("wait", wait, *WAITS)
    check_choice("reads", reads, "replica", "primary")
    check_choice("on_lag", on_lag, "primary", "raise")
    check_choice("exactly_once", exactly_once, False, True)
    timeouts = {"rpc_timeout": rpc_timeout, "replication_timeout": replication_timeout}
    return Arguments(
        name=name,
        wait=wait,
        reads=reads,
        on_lag=on_lag,
        exactly_once=exactly_once,
        timeouts=tuple((name, timeout) for name, timeout in timeouts.items() if timeout != "default"),
        primary_functions=tuple(primary_functions),
        session_functions=tuple(_session_functions(session_functions)),
    )


def _session_functions(given: SessionFunctions) -> Iterable[tuple[str, tuple[str, ...] | None]]:
    if isinstance(given, str):
        raise ConfigurationError(f"session_functions must be a list or a mapping of names; got the string {given!r}")
    changed: Mapping[str, Iterable[str] | None] = given if isinstance(given, Mapping) else dict.fromkeys(given)
    for name, settings in changed.items():
        if isinstance(settings, str):
            raise ConfigurationError(f"session_functions: the settings of {name!r} must be a list; got {settings!r}")
        yield name, None if settings is None else tuple(settings)
