"""Plug-ins found by entry point: looked up by name, loaded once, on first use."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from typing import Any

import entrypoints

from .discovery import Discovery
from .errors import ConfigurationError
from .settings import Settings
from .transport import Transport
from .waiter import LSNWaiter

ADAPTERS = "fly_orm.adapters"
TRANSPORTS = "fly_orm.transports"
WAITERS = "fly_orm.waiters"
DISCOVERIES = "fly_orm.discoveries"


@dataclass(frozen=True, kw_only=True)
class Plugin:
    """A plug-in that an installed distribution provides; ``target`` is the ``module:object`` that it refers to."""

    name: str
    distribution: str
    version: str
    target: str

    def __str__(self) -> str:
        return f"{self.distribution} {self.version} ({self.target})"


class Registry:
    """The plug-ins of one entry-point group."""

    def __init__(self, group: str, scan: Callable[[str], Iterable[Any]] = entrypoints.get_group_all) -> None:
        self.group = group
        self._scan = scan
        self._loaded: dict[str, Any] = {}

    def load(self, name: str) -> Any:
        """The object that the entry point ``name`` refers to; the same one every time.

        ConfigurationError if no distribution provides it, two do, or importing it fails.
        """
        if name not in self._loaded:
            self._loaded[name] = self._import(self._find(name))
        return self._loaded[name]

    def names(self) -> list[str]:
        """The names that installed distributions provide, sorted."""
        return sorted({entry.name for entry in self._scan(self.group)})

    def plugins(self) -> list[Plugin]:
        """Everything that installed distributions provide, sorted; two may have one name."""
        found = [_describe(entry) for entry in self._scan(self.group)]
        return sorted(found, key=lambda plugin: (plugin.name, plugin.distribution))

    def _find(self, name: str) -> Any:
        entries = [entry for entry in self._scan(self.group) if entry.name == name]
        if not entries:
            raise ConfigurationError(self._unknown(name))
        if len(entries) > 1:
            claims = " and ".join(sorted(str(_describe(entry)) for entry in entries))
            problem = f"provided twice, by {claims}; uninstall one of them"
            raise ConfigurationError(f"{self.group}: {name!r} is {problem}", problem=problem)
        return entries[0]

    def _unknown(self, name: str) -> str:
        known = self.names()
        near = difflib.get_close_matches(name, known, n=1, cutoff=0)
        hint = f"did you mean {near[0]!r}? Known: {', '.join(known)}" if near else "none is installed"
        return f"{self.group}: no installed distribution provides {name!r}; {hint}"

    def _import(self, entry: Any) -> Any:
        try:
            return entry.load()
        except Exception as error:  # importing a plug-in may raise anything; all of it is reported
            problem = f"cannot be loaded: {type(error).__name__}: {error}"
            raise ConfigurationError(
                f"{self.group}: {entry.name!r} of {_describe(entry)} {problem}", problem=problem
            ) from error


def _describe(entry: Any) -> Plugin:
    name = entry.distro.name if entry.distro else ""
    return Plugin(
        name=entry.name,
        distribution=name or "an unnamed distribution",
        version=(entry.distro.version or _version(name)) if entry.distro else "",
        target=f"{entry.module_name}:{entry.object_name}" if entry.object_name else entry.module_name,
    )


def _version(distribution: str) -> str:
    """The version of a distribution whose folder does not say it, as is so with sources."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


@cache
def registry(group: str) -> Registry:
    """The registry of a group, one per process."""
    return Registry(group)


def make_adapter(name: str) -> Any:
    """A :class:`fly_orm.adapters.base.Adapter`, of the package of this name; ConfigurationError if none can be made."""
    return _make(ADAPTERS, name, ("wrap", "router_of", "why_unrouted"))


def make_transport(name: str) -> Transport:
    """A transport of the kind that is registered under this name; ConfigurationError if none can be made."""
    try:
        transport: Transport = _make(TRANSPORTS, name, ("connect", "serve", "is_local"))
    except ConfigurationError:
        raise
    except Exception as error:  # so may making one
        problem = f"cannot be made: {type(error).__name__}: {error}"
        raise ConfigurationError(f"{TRANSPORTS}: {name!r} {problem}", problem=problem) from error
    return transport


def survey_transports() -> list[tuple[Plugin, str | None]]:
    """Every transport that is installed, and why it cannot be used, if so. Each is loaded and made to find out."""
    return [(plugin, _problem(plugin.name)) for plugin in registry(TRANSPORTS).plugins()]


def _problem(name: str) -> str | None:
    try:
        make_transport(name)
    except ConfigurationError as error:
        return str(getattr(error, "problem", error))
    return None


def make_waiter(name: str, connect: Callable[[], Any]) -> LSNWaiter:
    """A waiter of the kind that is registered under this name, for the replica that ``connect`` connects to."""
    waiter: LSNWaiter = _make(WAITERS, name, ("wait", "close"), connect)
    return waiter


def make_discovery(name: str, settings: Settings) -> Discovery:
    """A discovery of the kind that is registered under this name."""
    discovery: Discovery = _make(DISCOVERIES, name, ("nodes", "regions", "refresh", "describe"), settings)
    return discovery


def _make(group: str, name: str, methods: Iterable[str], *args: Any) -> Any:
    """What the plug-in's factory makes, checked to have the methods of the interface."""
    factory = registry(group).load(name)
    if not callable(factory):
        problem = f"an object of class {type(factory).__name__}, where a class or a function is needed"
        raise ConfigurationError(f"{group}: {name!r} is {problem}", problem=problem)
    made = factory(*args)
    missing = [method for method in methods if not callable(getattr(made, method, None))]
    if missing:
        problem = f"makes a {type(made).__name__}, which lacks {', '.join(missing)}"
        raise ConfigurationError(f"{group}: {name!r} {problem}", problem=problem)
    return made
