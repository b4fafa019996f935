"""Finds what the command line names in the application's modules."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from ..errors import ConfigurationError


def load(name: str) -> Any:
    """The object that ``module:attribute`` names; ConfigurationError if there is none."""
    module_name, colon, attribute = name.partition(":")
    if not colon or not module_name or not attribute:
        raise ConfigurationError(f"{name!r} names no database; write MODULE:ATTRIBUTE, such as shop.app:db")
    found: Any = import_named(module_name, name)
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise ConfigurationError(f"{name!r}: {module_name} has no {attribute!r}")
        found = getattr(found, part)
    return found


def import_named(module: str, given: str) -> ModuleType:
    """The module of that name; ConfigurationError if there is none. ``given`` is what the user wrote."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # the module is there, and what it imports is not
        raise ConfigurationError(
            f"{given!r}: there is no module {error.name!r} in {Path.cwd()} or on the path"
        ) from error
