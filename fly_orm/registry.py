"""Plug-ins found by entry point: looked up by name, loaded once, on first use."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import entrypoints

from .discovery import Discovery
from .errors import ConfigurationError
from .settings import Settings
from .transport import Transport
from .waiter import LSNWaiter

TRANSPORTS = "fly_orm.transports"
WAITERS = "fly_orm.waiters"
DISCOVERIES = "fly_orm.discoveries"


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

    def _find(self, name: str) -> Any:
        entries = [entry for entry in self._scan(self.group) if entry.name == name]
        if not entries:
            raise ConfigurationError(self._unknown(name))
        if len(entries) > 1:
            claims = " and ".join(_describe(entry) for entry in entries)
            raise ConfigurationError(f"{self.group}: {name!r} is provided twice, by {claims}; uninstall one of them")
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
            raise ConfigurationError(
                f"{self.group}: {entry.name!r} of {_describe(entry)} cannot be loaded: {type(error).__name__}: {error}"
            ) from error


def _describe(entry: Any) -> str:
    distribution = f"{entry.distro.name} {entry.distro.version}" if entry.distro else "an unnamed distribution"
    return f"{distribution} ({entry.module_name}:{entry.object_name})"


@cache
def registry(group: str) -> Registry:
    """The registry of a group, one per process."""
    return Registry(group)


def make_transport(name: str) -> Transport:
    """A transport of the kind that is registered under this name."""
    transport: Transport = _make(TRANSPORTS, name, ("connect", "serve", "is_local"))
    return transport


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
    made = registry(group).load(name)(*args)
    missing = [method for method in methods if not callable(getattr(made, method, None))]
    if missing:
        raise ConfigurationError(f"{group}: {name!r} makes a {type(made).__name__}, which lacks {', '.join(missing)}")
    return made
