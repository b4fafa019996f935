"""``register_type()``: the application's own classes whose instances travel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Any, TypeVar, overload

from ..errors import ConfigurationError
from .converters import Converter, HookConverter, default_converter
from .errors import CodecError
from .exceptions.portable import is_portable
from .names import class_name, how_to_have, module_and_name, wire_name
from .nodes import ENCODERS, PLAIN, Encoder, expect, from_node
from .tags import REGISTERED

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class RegisteredType:
    """A class whose instances travel."""

    cls: type
    name: str
    converter: Converter | None
    """None for an exception class without hooks: exceptions need no converter."""


TYPES_BY_NAME: dict[str, RegisteredType] = {}
TYPES_BY_CLASS: dict[type, RegisteredType] = {}
_lock = Lock()


@overload
def register_type(
    cls: type[T],
    *,
    name: str | None = None,
    encode: Callable[[T], Any] | None = None,
    decode: Callable[[Any], T] | None = None,
) -> type[T]: ...
@overload
def register_type(
    cls: None = None,
    *,
    name: str | None = None,
    encode: Callable[[Any], Any] | None = None,
    decode: Callable[[Any], Any] | None = None,
) -> Callable[[type[T]], type[T]]: ...
def register_type(
    cls: Any = None,
    *,
    name: str | None = None,
    encode: Callable[[Any], Any] | None = None,
    decode: Callable[[Any], Any] | None = None,
) -> Any:
    """The class itself, whose instances can be arguments and results of functions on other nodes from now on.

    Use it as a decorator, with or without arguments, or call it with the class. Both nodes have to register the class
    under the same name. Registering a class again replaces what was registered, for instance when its module is
    reloaded.

    ``name``
        The name under which the class travels, a printable str. By default its module and qualified name.

    ``encode``, ``decode``
        Two functions, ``encode(instance)``, which returns a value that can travel, and ``decode(value)``, which returns
        the instance. Enums, dataclasses, namedtuples and exceptions need neither. A dataclass arrives with all of its
        fields, but without other attributes; its ``__init__`` and ``__post_init__`` do not run.

    Raises ConfigurationError for a class that cannot be registered with these arguments. Thread-safe.
    """

    def decorate(cls: type[T]) -> type[T]:
        _add(_checked(cls, name, encode, decode))
        return cls

    return decorate if cls is None else decorate(cls)


def registered_type(name: str) -> RegisteredType:
    """The class that is registered under a name. CodecError if there is none."""
    registered = TYPES_BY_NAME.get(name)
    if registered is None:
        raise CodecError(
            f"the class {name!r:.200} is not registered here with fly_orm.register_type; {how_to_have(name)}"
        )
    return registered


def decode_registered(node: list[Any], depth: int) -> Any:
    """The instance that a node tagged REGISTERED encodes."""
    del node[0]
    name = expect(from_node(node[0], depth), str)
    registered = registered_type(name)
    if registered.converter is None or issubclass(registered.cls, BaseException):
        raise CodecError(f"{name!r:.200} is an exception here")
    return registered.converter.decode(node, depth)


def _checked(cls: Any, name: str | None, encode: Any, decode: Any) -> RegisteredType:
    if not isinstance(cls, type):
        raise ConfigurationError(f"register_type() takes a class, not {cls!r:.200}")
    label = class_name(cls)
    if cls in PLAIN or (cls in ENCODERS and cls not in TYPES_BY_CLASS):
        raise ConfigurationError(f"{label} travels without being registered, and cannot be registered")
    if (encode is None) != (decode is None):
        raise ConfigurationError(f"pass register_type() both hooks for {label}, encode= and decode=, or neither")
    if name is None and "<locals>" in module_and_name(cls)[1]:
        raise ConfigurationError(f"{label} is defined inside a function; pass register_type() a name= for it")
    if name is not None and not (isinstance(name, str) and name and name.isprintable()):
        raise ConfigurationError(f"name= must be a printable str, not {name!r:.200}")
    if issubclass(cls, BaseException) and not is_portable(cls):
        raise ConfigurationError(f"{label} never travels as itself; if a function raises one, RemoteError arrives")
    hooks = None if encode is None or decode is None else HookConverter(cls, encode, decode)
    return RegisteredType(cls=cls, name=name or wire_name(cls), converter=hooks or _without_hooks(cls, label))


def _without_hooks(cls: type, label: str) -> Converter | None:
    if issubclass(cls, BaseException):
        return None
    converter = default_converter(cls)
    if converter is None:
        raise ConfigurationError(
            f"{label} is not an Enum, a dataclass, a namedtuple or an exception; pass register_type() hooks for it, "
            "encode=(instance -> a value that can travel) and decode=(that value -> the instance)"
        )
    return converter


def _add(registered: RegisteredType) -> None:
    cls, name = registered.cls, registered.name
    with _lock:
        known = TYPES_BY_NAME.get(name)
        if known is not None and module_and_name(known.cls) != module_and_name(cls):
            raise ConfigurationError(
                f"two classes are named {name!r}, {class_name(known.cls)} and {class_name(cls)}; "
                "register one of them with another name="
            )
        for old in (known, TYPES_BY_CLASS.get(cls)):
            if old is not None:
                _remove(old)
        TYPES_BY_NAME[name] = TYPES_BY_CLASS[cls] = registered
        if registered.converter is not None and not issubclass(cls, BaseException):
            ENCODERS[cls] = _encoder(name, registered.converter)


def _remove(registered: RegisteredType) -> None:
    TYPES_BY_NAME.pop(registered.name, None)
    TYPES_BY_CLASS.pop(registered.cls, None)
    ENCODERS.pop(registered.cls, None)


def _encoder(name: str, converter: Converter) -> Encoder:
    return lambda value, depth: [REGISTERED, name, *converter.encode(value, depth)]
