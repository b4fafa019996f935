"""Families: classes that travel without having been registered one by one, such as an ORM's models."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Protocol

from ..errors import ConfigurationError, NotPortable
from .containers import pack_attributes
from .kinds import FAMILY
from .names import described
from .tree import Packer, deeper, expect, unpack
from .unsupported import CodecError, Refusal

#: What stands before the name of an exception class in place of a family's prefix.
MODULE, REGISTERED = "module", "type"


@dataclass(frozen=True, kw_only=True)
class Packed:
    """What stands for an instance of a family's class."""

    name: str
    """Which class; the same in every process of an application."""
    fields: tuple[Mapping[str, Any], ...]
    """Attributes by name, which have to travel, as many mappings as the family likes."""
    extras: Mapping[str, Any] = field(default_factory=dict)
    """Attributes by name, of which those that cannot travel are left out."""


class Family(Protocol):
    """Classes that are known by a rule. Methods may be called by any thread."""

    prefix: str
    """Short and unique; the wire names the family by it."""

    @abstractmethod
    def knows(self, cls: type) -> bool:
        """Whether instances of a class belong to the family. Called for classes that nobody has registered."""

    @abstractmethod
    def pack(self, instance: Any) -> Packed:
        """What stands for an instance; NotPortable, saying why and what to do, if it cannot travel."""

    @abstractmethod
    def unpack(self, packed: Packed) -> Any:
        """The instance; CodecError if ``packed`` does not fit a class known here. No constructor of it is run."""

    def error_name(self, cls: type[BaseException]) -> str | None:
        """The name of an exception class that comes with a class of the family; None if it is none."""
        return None

    def error_class(self, name: str) -> type | None:
        """The exception class of that name; None if it is not known here."""
        return None


FAMILIES: dict[str, Family] = {}


def add_family(family: Family) -> None:
    """Let instances of a family's classes travel. Adding one again changes nothing.

    ConfigurationError if another family has its prefix.
    """
    known = FAMILIES.get(family.prefix)
    if family.prefix in (MODULE, REGISTERED) or (known is not None and type(known) is not type(family)):
        raise ConfigurationError(f"the prefix {family.prefix!r} of {family!r} is taken")
    FAMILIES.setdefault(family.prefix, family)


def find_packer(cls: type) -> Packer | None:
    """What packs instances of a class that belongs to a family; None if it belongs to none."""
    family: Any
    for family in FAMILIES.values():
        if family.knows(cls):
            return _packer(family)
    return None


@cache
def _packer(family: Any) -> Packer:
    def pack_instance(value: Any, depth: int) -> list[Any]:
        depth = deeper(depth)
        try:
            packed = family.pack(value)
        except NotPortable as error:
            raise Refusal(str(error)) from error
        except Exception as error:
            raise Refusal(f"{described(error)} while it was read; pass something else") from error
        extras = pack_attributes(packed.extras, depth, value, _leave_out)
        fields = (pack_attributes(attributes, depth, value) for attributes in packed.fields)
        return [FAMILY, family.prefix, packed.name, extras, *fields]

    return pack_instance


def _leave_out(name: str, refusal: Refusal) -> None:
    pass


def unpack_instance(node: list[Any], depth: int) -> Any:
    """The instance that a node of kind FAMILY stands for."""
    _, prefix, name, *rest = node
    family = FAMILIES.get(expect(prefix, str))
    if family is None:
        raise CodecError(f"there is no {prefix!r:.40} here; wrap a database of that ORM in this process too")
    attributes = [expect(unpack(part, depth), dict) for part in rest]
    if not all(type(key) is str for part in attributes for key in part):
        raise CodecError("the name of an attribute is no str")
    extras, *fields = attributes
    return family.unpack(Packed(name=expect(unpack(name, depth), str), fields=tuple(fields), extras=extras))
