"""The settings of a process as a table, with the value and the source of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from ..settings import LIMITS, Settings

#: Where a value comes from that neither the environment nor a default explains.
CODE = "the application's code"


@dataclass(frozen=True, kw_only=True)
class Shown:
    """One setting."""

    name: str
    value: str
    """As users write it. Secrets are hidden."""
    source: str
    """The environment variable that set it, ``default``, or CODE."""


def shown_settings(settings: Settings, variables: Mapping[str, str], environment: Settings | None) -> list[Shown]:
    """All settings.

    ``variables`` maps settings to the environment variables that are set, and ``environment`` has the settings that
    they give; None if the environment is not valid.
    """
    given, defaults = _values(settings), _values(Settings())
    from_environment = {} if environment is None else _values(environment)
    return [
        Shown(name=name, value=_text(name, value), source=_source(name, value, variables, from_environment, defaults))
        for name, value in given.items()
    ]


def _values(settings: Settings) -> dict[str, Any]:
    topology = settings.topology
    own = {each.name: getattr(settings, each.name) for each in fields(settings) if each.name != "topology"}
    return {"region": topology.region, "primary_region": topology.primary_region, **own}


def _source(
    name: str, value: Any, variables: Mapping[str, str], environment: Mapping[str, Any], defaults: Mapping[str, Any]
) -> str:
    if name in variables and environment.get(name) == value:
        return variables[name]
    return "default" if value == defaults[name] else CODE


def _text(name: str, value: Any) -> str:
    if name == "secret":
        return f"set ({len(value)} values)" if len(value) > 1 else "set" if value else "none"
    if name == "nodes":
        listed = (f"{region}={' '.join(node.address for node in nodes)}" for region, nodes in value.items())
        return ", ".join(listed) or "none"
    if name == "transport_options":
        return " ".join(f"{option}=…" for option in value) or "none"
    if name in LIMITS:
        return LIMITS[name].text_of(value)
    if name == "workers" and value is None:
        return "one for each core"
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value or "none")
