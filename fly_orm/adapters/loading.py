"""Which adapter an object belongs to. Adapters are loaded when the first object of theirs is wrapped."""

from __future__ import annotations

from typing import Any

from ..errors import ConfigurationError
from ..registry import ADAPTERS, registry
from .base import Adapter, load_adapter
from .near_misses import hint


def adapter_of(database: Any) -> Adapter:
    """The adapter that is named like the package of the object's class, or else of the nearest base class that has one.

    ConfigurationError if no installed adapter has such a name, two have, or it cannot be loaded.
    """
    installed = registry(ADAPTERS).names()
    for cls in type(database).__mro__:
        package = cls.__module__.partition(".")[0]
        if package in installed:
            return load_adapter(package)
    raise ConfigurationError(_unknown(type(database)))


def _unknown(cls: type) -> str:
    if (advice := hint(cls)) is not None:
        return f"no adapter wraps a {cls.__module__}.{cls.__qualname__}. {advice}"
    known = ", ".join(f"{plugin.name} (of {plugin.distribution})" for plugin in registry(ADAPTERS).plugins())
    installed = f"the installed adapters are {known}" if known else "no adapter is installed; reinstall fly-orm"
    return (
        f"no adapter wraps a {cls.__module__}.{cls.__qualname__}; {installed}. "
        "To write an adapter for another library, see docs/adapters.md"
    )
