"""Finds the objects that the command line names in the application's modules."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from ..errors import ConfigurationError


def look_in_working_directory() -> None:
    """Let modules be found in the working directory, before all others. ConfigurationError if it was removed."""
    try:
        sys.path.insert(0, str(Path.cwd()))
    except FileNotFoundError as error:
        raise ConfigurationError("the working directory was removed; change to the one of the application") from error


def load(name: str) -> Any:
    """The object that ``module:attribute`` names. ConfigurationError if there is no such object."""
    module_name, colon, attribute = name.partition(":")
    if not colon or not module_name or not attribute:
        raise ConfigurationError(f"{name!r} does not name a database; write MODULE:ATTRIBUTE, such as shop.app:db")
    found: Any = import_named(module_name, name)
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise ConfigurationError(f"{name!r}: {module_name} has no {attribute!r}")
        found = getattr(found, part)
    return found


def import_named(module: str, argument: str) -> ModuleType:
    """The module of that name. ConfigurationError, which quotes the user's ``argument``, if it does not exist."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # the module exists, and something that it imports does not
        raise ConfigurationError(
            f"{argument!r}: there is no module {error.name!r} in {Path.cwd()} or on the path"
        ) from error
