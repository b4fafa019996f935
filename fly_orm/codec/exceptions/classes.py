"""Which exception classes travel as themselves, and how the wire refers to them.

A reference is ``type:NAME`` for a registered class, ``module:MODULE:QUALNAME`` for a class of a trusted package, and
``PREFIX:NAME`` for one that belongs to a type handler's classes.
"""

from __future__ import annotations

from ...postgres.sql_error import looks_like
from ..errors import CodecError
from ..names import find_named, module_and_name
from ..registered_types import TYPES_BY_CLASS, registered_type
from ..type_handlers import HANDLERS, MODULE, REGISTERED
from .portable import is_portable

#: Packages whose exception classes can be referred to, once their modules have been imported.
_trusted = {"builtins", "psycopg2"}


def trust_exceptions_of(package: str) -> None:
    """Let exceptions travel as themselves if their class is defined in a package. Adding it again changes nothing.

    Other nodes can then have any of these classes instantiated here, without a call of its ``__init__``.
    """
    _trusted.add(package)


def reference_to(cls: type[BaseException]) -> str | None:
    """The reference to an exception class. None for a class that does not travel as itself."""
    cls = looks_like(cls)
    if not is_portable(cls):
        return None
    if cls in TYPES_BY_CLASS:
        return f"{REGISTERED}:{TYPES_BY_CLASS[cls].name}"
    module, qualname = module_and_name(cls)
    if _is_trusted(module) and find_named(f"{module}:{qualname}") is cls:
        return f"{MODULE}:{module}:{qualname}"
    for handler in HANDLERS.values():
        name = handler.exception_name(cls)
        if name is not None:
            return f"{handler.prefix}:{name}"
    return None


def resolve(reference: str) -> type[Exception]:
    """The exception class that a reference refers to. Imports nothing.

    CodecError if this process does not know the class, or must not raise it.
    """
    origin, _, name = reference.partition(":")
    if origin == REGISTERED:
        cls: object = registered_type(name).cls
    elif origin == MODULE:
        cls = find_named(name) if _is_trusted(name.partition(":")[0]) else None
    else:
        handler = HANDLERS.get(origin)
        cls = handler.exception_class(name) if handler is not None else None
    if not isinstance(cls, type) or not is_portable(cls):
        raise CodecError(f"this process has no exception class {reference!r:.200}")
    return cls


def _is_trusted(module: str) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in _trusted)
