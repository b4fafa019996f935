"""Subclasses that stand in for a class of the driver's, the ORM's or the user's."""

from __future__ import annotations

from typing import Any


def named_like(cls: type, *bases: type, metaclass: Any = type, **attributes: Any) -> Any:
    """A class with these bases and attributes whose name, module and docstring are those of ``cls``."""
    like = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "__doc__": cls.__doc__}
    return metaclass(cls.__name__, bases, {**like, **attributes})
