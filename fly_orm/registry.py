"""Finds plug-ins by entry point: each is looked up by name and loaded once, on first use."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any

import entrypoints

from .discovery import Discovery
from .errors import ConfigurationError
from .parsing import suggestion
from .settings import Settings
from .transport import Transport
from .waiter import LSNWaiter

ADAPTERS = "fly_orm.adapters"
TRANSPORTS = "fly_orm.transports"
WAITERS = "fly_orm.waiters"
DISCOVERIES = "fly_orm.discoveries"


@dataclass(frozen=True, kw_only=True)
class Plugin:
    """A plug-in and the installed distribution that provides it. ``target`` is its entry point, ``module:object``."""

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
        """The object that the entry point ``name`` refers to, which is the same one every time.

        ConfigurationError if no distribution provides it, if two do, or if importing it fails.
        """
        if name not in self._loaded:
            self._loaded[name] = self._import(self._find(name))
        return self._loaded[name]

    def names(self) -> list[str]:
        """The names that installed distributions provide, sorted."""
        return sorted({entry.name for entry in self._entries})

    def plugins(self) -> list[Plugin]:
        """Everything that installed distributions provide, sorted by name, which several may share."""
        found = [_describe(entry) for entry in self._entries]
        return sorted(found, key=lambda plugin: (plugin.name, plugin.distribution))

    @cached_property
    def _entries(self) -> list[Any]:
        """What is installed, looked up once: to search the path takes longer than anything else that wrap() does."""
        return list(self._scan(self.group))

    def _find(self, name: str) -> Any:
        entries = [entry for entry in self._entries if entry.name == name]
        if not entries:
            raise ConfigurationError(self._unknown(name))
        if len(entries) > 1:
            claims = " and ".join(sorted(str(_describe(entry)) for entry in entries))
            problem = f"provided twice, by {claims}; uninstall one of them"
            raise ConfigurationError(f"{self.group}: {name!r} is {problem}", problem=problem)
        return entries[0]

    def _unknown(self, name: str) -> str:
        known = self.names()
        hint = suggestion(name, known) if known else "none is installed"
        return f"{self.group}: no installed distribution provides {name!r:.100}; {hint}"

    def _import(self, entry: Any) -> Any:
        try:
            return entry.load()
        except Exception as error:  # importing a plug-in may raise anything
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
    """The version of a distribution whose folder name does not contain it, such as an editable install."""
    from importlib import metadata  # only now, as it takes longer to import than all else that wrap() imports

    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


@cache
def registry(group: str) -> Registry:
    """The registry of a group, one per process."""
    return Registry(group)


def make_adapter(name: str) -> Any:
    """The :class:`fly_orm.adapters.base.Adapter` for the package of this name.

    ConfigurationError if there is none, or if it cannot be made.
    """
    methods = ("wrap", "router_of", "why_unrouted", "type_handlers", "exception_packages")
    return _make(ADAPTERS, name, methods, lambda factory: factory())


def make_transport(name: str, settings: Settings) -> Transport:
    """The transport that is registered under this name, made from the settings.

    ConfigurationError if there is none, if it cannot be made, or if it refuses one of ``settings.transport_options``.
    """
    methods = ("connect", "serve", "is_local")
    transport: Transport = _make(TRANSPORTS, name, methods, lambda factory: build_transport(factory, settings))
    return transport


def build_transport(factory: Callable[..., Any], settings: Settings) -> Any:
    """What the factory of a transport returns for the settings, or for no arguments if it does not take one.

    ConfigurationError if it takes none although there are options that it would have to know, or does not offer TLS
    although there are certificates for it.
    """
    if _takes_an_argument(factory):
        made = factory(settings)
    elif settings.transport_options:
        raise ConfigurationError("FLY_ORM_TRANSPORT_OPTIONS is set, but this transport has no options")
    else:
        made = factory()
    if (settings.tls_cert or settings.tls_key or settings.tls_ca) and not getattr(made, "uses_tls", False):
        raise ConfigurationError(
            "this transport does not offer TLS: unset FLY_ORM_TLS_CERT, FLY_ORM_TLS_KEY and FLY_ORM_TLS_CA, or choose "
            "another transport, such as pyro5"
        )
    return made


def _takes_an_argument(factory: Callable[..., Any]) -> bool:
    # Asked of the signature: a TypeError out of the call might as well come from inside the factory.
    from .codec.names import signature_of  # not before a transport is needed: it takes the whole codec along

    try:
        signature_of(factory).bind(object())
    except (TypeError, ValueError):  # ValueError: some that are written in C have no signature
        return False
    return True


def survey_transports(settings: Settings) -> list[tuple[Plugin, str | None]]:
    """Every installed transport, and why it cannot be used, if so; each is loaded and made to find out.

    The transport options of the settings, and the files for TLS, are for the selected one only.
    """
    return [(plugin, _problem(plugin.name, settings)) for plugin in registry(TRANSPORTS).plugins()]


def _problem(name: str, settings: Settings) -> str | None:
    if name != settings.transport:
        settings = replace(settings, transport_options={}, tls_cert="", tls_key="", tls_ca="")
    try:
        make_transport(name, settings)
    except ConfigurationError as error:
        return str(getattr(error, "problem", error))
    return None


def make_waiter(name: str, connect: Callable[[], Any]) -> LSNWaiter:
    """The waiter that is registered under this name, for the replica that ``connect`` connects to."""
    waiter: LSNWaiter = _make(WAITERS, name, ("wait", "close"), lambda factory: factory(connect))
    return waiter


def make_discovery(name: str, settings: Settings) -> Discovery:
    """The discovery that is registered under this name, made from the settings."""
    methods = ("nodes", "regions", "refresh", "describe")
    discovery: Discovery = _make(DISCOVERIES, name, methods, lambda factory: factory(settings))
    return discovery


def _make(group: str, name: str, methods: Iterable[str], build: Callable[[Callable[..., Any]], Any]) -> Any:
    """What the plug-in's factory returns when ``build`` calls it; it has the methods of the interface."""
    factory = registry(group).load(name)
    if not callable(factory):
        problem = f"is an object of class {type(factory).__name__}, but must be a class or a function"
        raise _unusable(group, name, problem)
    try:
        made = build(factory)
    except ConfigurationError:
        raise
    except Exception as error:  # making a plug-in may raise anything
        raise _unusable(group, name, f"cannot be made: {type(error).__name__}: {error}") from error
    missing = [method for method in methods if not callable(getattr(made, method, None))]
    if missing:
        raise _unusable(group, name, f"makes a {type(made).__name__}, which lacks {', '.join(missing)}")
    return made


def _unusable(group: str, name: str, problem: str) -> ConfigurationError:
    return ConfigurationError(f"{group}: {name!r} {problem}", problem=problem)
