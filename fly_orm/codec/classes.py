"""Which exception classes travel as themselves, and by what name."""

from __future__ import annotations

from ..postgres.sql_error import looks_like
from .family import FAMILIES, MODULE, REGISTERED
from .names import found, module_and_name
from .raisable import may_travel
from .registry import BY_CLASS, registered
from .unsupported import CodecError

#: Packages whose exception classes are known wherever the class's module has been imported.
_trusted = {"builtins", "psycopg2"}


def trust_exceptions_of(package: str) -> None:
    """Let exceptions travel as themselves if their class is defined in a package. Adding it again changes nothing."""
    _trusted.add(package)


def reference(cls: type[BaseException]) -> str | None:
    """The name of an exception class on the wire; None for one that does not travel as itself."""
    cls = looks_like(cls)
    if not may_travel(cls):
        return None
    if cls in BY_CLASS:
        return f"{REGISTERED}:{BY_CLASS[cls].name}"
    module, qualname = module_and_name(cls)
    if _allowed(module) and found(module, qualname) is cls:
        return f"{MODULE}:{module}:{qualname}"
    for family in FAMILIES.values():
        name = family.error_name(cls)
        if name is not None:
            return f"{family.prefix}:{name}"
    return None


def referred(text: str) -> type[Exception]:
    """The exception class of that name; CodecError if it is not known here, or may not be raised. Imports nothing."""
    origin, _, name = text.partition(":")
    if origin == REGISTERED:
        cls: object = registered(name).cls
    elif origin == MODULE:
        module, _, qualname = name.partition(":")
        cls = found(module, qualname) if _allowed(module) else None
    else:
        family = FAMILIES.get(origin)
        cls = family.error_class(name) if family is not None else None
    if not isinstance(cls, type) or not may_travel(cls):
        raise CodecError(f"there is no exception class {text!r:.200} here")
    return cls


def _allowed(module: str) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in _trusted)
