"""Type handlers: encode classes that nobody registers one by one, such as the models of an ORM."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Protocol

from ..errors import ConfigurationError, NotPortable
from .containers import encode_attributes
from .errors import CannotEncode, CodecError
from .names import describe_error
from .nodes import Encoder, expect, from_node, next_depth
from .tags import HANDLED

#: Reserved prefixes of exception names, which no type handler may use.
MODULE, REGISTERED = "module", "type"


@dataclass(frozen=True, kw_only=True)
class EncodedInstance:
    """What a type handler encodes an instance as."""

    name: str
    """Identifies the class, in every process of the application alike."""
    fields: tuple[Mapping[str, Any], ...]
    """Mappings of names to values, as many as the handler likes. All values have to travel."""
    extras: Mapping[str, Any] = field(default_factory=dict)
    """More names and values. Those that cannot travel are left out."""


class TypeHandler(Protocol):
    """Encodes instances of the classes that it recognises. Derive from this class. Any thread may call the methods."""

    prefix: str
    """Identifies the handler on the wire. Short, unique, and the same in every release."""

    @abstractmethod
    def handles(self, cls: type) -> bool:
        """Whether this handler encodes the instances of a class. Called for classes that nobody has registered."""

    @abstractmethod
    def encode(self, instance: Any) -> EncodedInstance:
        """What to send for an instance. NotPortable, saying why and what to do, if it cannot travel."""

    @abstractmethod
    def decode(self, encoded: EncodedInstance) -> Any:
        """The instance. CodecError if it does not fit a class of this process.

        ``encoded`` comes from another node: look the class up among those that exist, and do not call it.
        """

    def exception_name(self, cls: type[BaseException]) -> str | None:
        """The name of an exception class that belongs to one of the classes, such as Model.DoesNotExist; else None."""
        return None

    def exception_class(self, name: str) -> type | None:
        """The exception class of that name. None if this process has none."""
        return None


HANDLERS: dict[str, TypeHandler] = {}


def add_type_handler(handler: TypeHandler) -> None:
    """Let instances of the classes that a handler recognises travel. Adding it again changes nothing.

    ConfigurationError if another handler has its prefix.
    """
    known = HANDLERS.get(handler.prefix)
    if handler.prefix in (MODULE, REGISTERED) or (known is not None and type(known) is not type(handler)):
        raise ConfigurationError(f"the prefix {handler.prefix!r} of {handler!r} is taken")
    HANDLERS.setdefault(handler.prefix, handler)


def find_encoder(cls: type) -> Encoder | None:
    """The encoder for a class that a handler recognises. None if no handler does."""
    handler: Any
    for handler in HANDLERS.values():
        if handler.handles(cls):
            return _encoder(handler)
    return None


@cache
def _encoder(handler: Any) -> Encoder:
    def encode_instance(value: Any, depth: int) -> list[Any]:
        depth = next_depth(depth)
        try:
            encoded = handler.encode(value)
        except NotPortable as error:
            raise CannotEncode(str(error)) from error
        except Exception as error:
            raise CannotEncode(f"reading it raised {describe_error(error)}; pass something else") from error
        extras = encode_attributes(encoded.extras, depth, value, _leave_out)
        fields = (encode_attributes(attributes, depth, value) for attributes in encoded.fields)
        return [HANDLED, handler.prefix, encoded.name, extras, *fields]

    return encode_instance


def _leave_out(name: str, error: CannotEncode) -> None:
    pass


def decode_instance(node: list[Any], depth: int) -> Any:
    """The instance that a node tagged HANDLED encodes."""
    _, prefix, name, *rest = node
    handler = HANDLERS.get(expect(prefix, str))
    if handler is None:
        raise CodecError(f"this process cannot decode {prefix!r:.40} instances; wrap a database of that library here")
    attributes = [expect(from_node(part, depth), dict) for part in rest]
    if not all(type(key) is str for part in attributes for key in part):
        raise CodecError("the name of an attribute is not a str")
    extras, *fields = attributes
    return handler.decode(
        EncodedInstance(name=expect(from_node(name, depth), str), fields=tuple(fields), extras=extras)
    )
