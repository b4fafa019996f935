"""Names of classes, texts of exceptions and signatures, read without relying on code that may fail."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

#: How many characters of a text are kept.
TEXT_CHARACTERS = 8000


def class_name(cls: type) -> str:
    """``module.QualName`` of a class; only ``QualName`` of a builtin."""
    module, qualname = module_and_name(cls)
    return qualname if module == "builtins" else f"{module}.{qualname}"


def module_and_name(cls: type) -> tuple[str, str]:
    """The module and the qualified name of a class, whatever its metaclass says."""
    return _read(cls, "__module__"), _read(cls, "__qualname__")


def wire_name(cls: type) -> str:
    """``module:QualName`` of a class, the same in every process of an application."""
    module, qualname = module_and_name(cls)
    return f"{importable_name(module)}:{qualname}"


def find_named(name: str) -> Any:
    """What an imported module contains under a name of the form ``module:QualName``; None if it contains no such thing.

    Nothing is imported, and no code is run.
    """
    module, _, qualname = name.partition(":")
    place: Any = sys.modules.get(module)
    for part in qualname.split("."):
        place = _namespace(place).get(part)
    return place


def how_to_have(name: str, process: str = "this process") -> str:
    """What to do about a name of the form ``module:QualName`` that another process knows and this one does not.

    ``process`` is what the reader calls this one.
    """
    module = name.partition(":")[0]
    if module in sys.modules:
        return f"{process} has imported {module}, but without it: restart {process}, so that it has the new code"
    return "import its module in the application, or serve with --import MODULE"


def importable_name(module: str) -> str:
    """The name under which other processes import a module. The main module's is taken from the command line."""
    if module != "__main__":
        return module
    main = sys.modules.get(module)
    spec = getattr(main, "__spec__", None)
    return str(spec.name) if spec is not None else Path(getattr(main, "__file__", None) or module).stem


def signature_of(function: Callable[..., Any]) -> inspect.Signature:
    """The signature of a function. From Python 3.14 on, annotations may have names that are not defined yet, or never.

    Raises TypeError or ValueError as :func:`inspect.signature` does.
    """
    if sys.version_info >= (3, 14):
        from annotationlib import Format

        return inspect.signature(function, annotation_format=Format.FORWARDREF)
    return inspect.signature(function)


def error_text(error: BaseException) -> str:
    """``str(error)``, at most :data:`TEXT_CHARACTERS` of it."""
    try:
        text = str.__str__(str(error))
    except BaseException as failure:  # noqa: BLE001  # the __str__ of an unknown class may raise anything
        return f"(its text cannot be read: {class_name(type(failure))})"
    return text if len(text) <= TEXT_CHARACTERS else text[:TEXT_CHARACTERS] + "…"


def describe_error(error: BaseException) -> str:
    """``ClassName: text`` of an exception."""
    return f"{class_name(type(error))}: {error_text(error)}".removesuffix(": ")


def _namespace(place: Any) -> Any:
    if isinstance(place, type):
        return type.__dict__["__dict__"].__get__(place)
    return vars(place) if isinstance(place, ModuleType) else {}


def _read(cls: type, attribute: str) -> str:
    value = type.__dict__[attribute].__get__(cls)
    return str.__str__(value) if isinstance(value, str) else "?"
