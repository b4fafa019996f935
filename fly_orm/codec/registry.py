"""The application's own classes whose instances travel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Any, TypeVar, overload

from ..errors import ConfigurationError
from .kinds import OBJECT
from .names import class_name, module_and_name, wire_name
from .raisable import may_travel
from .shapes import Hooks, Shape, shape_of
from .tree import PACKERS, PLAIN, Packer, expect, unpack
from .unsupported import CodecError

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Registration:
    """A class that travels."""

    cls: type
    name: str
    shape: Shape | None
    """How its instances travel; None for exceptions without hooks, which travel as all exceptions do."""


BY_NAME: dict[str, Registration] = {}
BY_CLASS: dict[type, Registration] = {}
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
    """The class itself, whose instances travel between nodes from now on. A decorator, bare or not, or a call.

    Both ends have to register it under the same ``name``, by default its module and qualified name. An Enum, a
    dataclass, a namedtuple or an exception needs nothing more: a dataclass arrives with all of its fields, without its
    ``__init__`` or ``__post_init__`` being run, and without attributes that are no fields. Any other class needs
    ``encode(instance)``, which returns a value that can travel, and ``decode(value)``, which returns the instance.

    Registering a class again, also after its module was reloaded, replaces what was registered. ConfigurationError for
    what cannot be registered so.
    """

    def decorate(cls: type[T]) -> type[T]:
        _add(_registration(cls, name, encode, decode))
        return cls

    return decorate if cls is None else decorate(cls)


def registered(name: str) -> Registration:
    """The class that is registered under a name; CodecError if there is none."""
    registration = BY_NAME.get(name)
    if registration is None:
        raise CodecError(
            f"the class {name!r:.200} is not registered here with fly_orm.register_type; "
            "import the module that does it in this process too"
        )
    return registration


def unpack_object(node: list[Any], depth: int) -> Any:
    """The instance that a node of kind OBJECT stands for."""
    del node[0]
    name = expect(unpack(node[0], depth), str)
    registration = registered(name)
    if registration.shape is None or issubclass(registration.cls, BaseException):
        raise CodecError(f"{name!r:.200} is an exception here")
    return registration.shape.unpack(node, depth)


def _registration(cls: Any, name: str | None, encode: Any, decode: Any) -> Registration:
    if not isinstance(cls, type):
        raise ConfigurationError(f"register_type() takes a class, not {cls!r:.200}")
    called = class_name(cls)
    if cls in PLAIN or (cls in PACKERS and cls not in BY_CLASS):
        raise ConfigurationError(f"{called} travels as it is; it cannot be registered")
    if (encode is None) != (decode is None):
        raise ConfigurationError(f"give register_type() both hooks for {called}, encode= and decode=, or neither")
    if name is None and "<locals>" in module_and_name(cls)[1]:
        raise ConfigurationError(f"{called} is defined inside a function; give register_type() a name= for it")
    if name is not None and not (isinstance(name, str) and name and name.isprintable()):
        raise ConfigurationError(f"name= is a printable str, not {name!r:.200}")
    shape: Shape | None = None if encode is None or decode is None else Hooks(cls, encode, decode)
    if issubclass(cls, BaseException):
        if not may_travel(cls):
            raise ConfigurationError(f"{called} never travels as itself; what a function raises of it is a RemoteError")
    elif shape is None:
        shape = shape_of(cls)
        if shape is None:
            raise ConfigurationError(
                f"{called} is no Enum, dataclass, namedtuple or exception; give register_type() hooks for it, "
                "encode=(instance -> a value that can travel) and decode=(that value -> the instance)"
            )
    return Registration(cls=cls, name=name or wire_name(cls), shape=shape)


def _add(registration: Registration) -> None:
    with _lock:
        known = BY_NAME.get(registration.name)
        if known is not None and module_and_name(known.cls) != module_and_name(registration.cls):
            raise ConfigurationError(
                f"{registration.name!r} is the name of two classes, {class_name(known.cls)} and "
                f"{class_name(registration.cls)}; give one of them another with name="
            )
        for old in (known, BY_CLASS.get(registration.cls)):
            if old is not None:
                _remove(old)
        BY_NAME[registration.name] = BY_CLASS[registration.cls] = registration
        if registration.shape is not None and not issubclass(registration.cls, BaseException):
            PACKERS[registration.cls] = _packer(registration.name, registration.shape)


def _remove(registration: Registration) -> None:
    BY_NAME.pop(registration.name, None)
    BY_CLASS.pop(registration.cls, None)
    PACKERS.pop(registration.cls, None)


def _packer(name: str, shape: Shape) -> Packer:
    return lambda value, depth: [OBJECT, name, *shape.pack(value, depth)]
