"""Names of classes, and what exceptions say, had without relying on code that may fail."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

#: How much of a text is kept.
TEXT_CHARACTERS = 8000


def class_name(cls: type) -> str:
    """``module.QualName`` of a class, or only the latter if it is a builtin."""
    module, qualname = module_and_name(cls)
    return qualname if module == "builtins" else f"{module}.{qualname}"


def module_and_name(cls: type) -> tuple[str, str]:
    """The module and the qualified name of a class, whatever its metaclass says."""
    return _read(cls, "__module__"), _read(cls, "__qualname__")


def wire_name(cls: type) -> str:
    """``module:QualName`` of a class, the same in every process of an application."""
    module, qualname = module_and_name(cls)
    return f"{importable(module)}:{qualname}"


def text_of(error: BaseException) -> str:
    """What an exception says, at most :data:`TEXT_CHARACTERS` of it."""
    try:
        text = str.__str__(str(error))
    except BaseException as failure:  # noqa: BLE001  # somebody's __str__ may raise anything
        return f"(its text cannot be had: {class_name(type(failure))})"
    return text if len(text) <= TEXT_CHARACTERS else text[:TEXT_CHARACTERS] + "…"


def described(error: BaseException) -> str:
    """``ClassName: text`` of an exception."""
    return f"{class_name(type(error))}: {text_of(error)}".removesuffix(": ")


def found(module: str, qualname: str) -> Any:
    """What an imported module has under a qualified name; None if it has no such thing. Nothing is imported or run."""
    place: Any = sys.modules.get(module)
    for part in qualname.split("."):
        place = _names(place).get(part)
    return place


def _names(place: Any) -> Any:
    if isinstance(place, type):
        return type.__dict__["__dict__"].__get__(place)
    return vars(place) if isinstance(place, ModuleType) else {}


def _read(cls: type, attribute: str) -> str:
    value = type.__dict__[attribute].__get__(cls)
    return str.__str__(value) if isinstance(value, str) else "?"


def importable(module: str) -> str:
    """The name by which other processes import a module: that of the program's main one is on its command line."""
    if module != "__main__":
        return module
    main = sys.modules.get(module)
    spec = getattr(main, "__spec__", None)
    return str(spec.name) if spec is not None else Path(getattr(main, "__file__", None) or module).stem
