"""The errors of the codec: bytes that cannot be decoded, and values that cannot be encoded."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ..errors import FlyOrmError, NotPortable
from .names import class_name, describe_error

T = TypeVar("T")

#: What to do about a value whose type cannot be encoded.
ADVICE = "register its class with fly_orm.register_type, or pass something else"
#: How many steps of a path an error shows.
_STEPS = 12


class CodecError(FlyOrmError):
    """The bytes do not encode a value or an exception, or they need a class that this process does not know."""


class CannotEncode(Exception):
    """Raised while a value is encoded. Each container that it passes through adds its step of the path to the culprit.

    Internal: callers of the codec see :class:`fly_orm.NotPortable` instead.
    """

    def __init__(self, why: str, *, too_deep: bool = False) -> None:
        super().__init__(why)
        self.why = why
        self.too_deep = too_deep
        """Whether the value is nested too deeply. Leaving out its innermost part would not help."""
        self._steps: list[str] = []
        self._containers: list[int] = []

    def add_step(self, step: str, container: object) -> None:
        """Note that the culprit is at ``step`` of ``container``."""
        self._steps.append(step)
        self._containers.append(id(container))

    def path(self) -> str:
        """The steps from the outermost value to the culprit, such as ``[3].price``."""
        steps = self._steps[::-1]
        return "".join(steps) if len(steps) <= _STEPS else "".join(steps[:_STEPS]) + "…"

    def reason(self) -> str:
        """Why the culprit cannot be encoded, and what to do."""
        if self.too_deep and len(set(self._containers)) < len(self._containers):
            return "it contains itself, so it cannot travel; pass something that does not"
        return self.why

    def as_not_portable(self, name: str) -> NotPortable:
        """The error for the caller who passed ``name``, such as "argument 'items'"."""
        path = name + self.path()
        return NotPortable(f"{path}: {self.reason()}", path=path)


def unsupported_type(value: object) -> CannotEncode:
    """The error for a value whose type cannot be encoded."""
    if isinstance(value, type):
        return CannotEncode(
            f"the class {class_name(value)} cannot travel: only a class method can be called for one, if it is defined "
            "in a class at the top level of a module; pass its name"
        )
    cls = type(value)
    name = class_name(cls)
    for base in cls.__mro__[1:-1]:
        if base.__module__ == "builtins" and base is not BaseException and not issubclass(cls, BaseException):
            name += f" (a subclass of {base.__name__})"
            break
    return CannotEncode(f"{'an' if name[:1] in 'aeiou' else 'a'} {name} cannot travel; {ADVICE}")


def with_codec_errors(decode: Callable[[], T]) -> T:
    """What ``decode()`` returns. Raises CodecError in place of whatever it raises.

    The operands may be anybody's: constructors raise all sorts of errors for them, and so do the ``__hash__`` and
    ``__eq__`` of registered classes.
    """
    try:
        return decode()
    except CodecError:
        raise
    except Exception as error:
        raise CodecError(f"not encoded by fly_orm, or by another release of it: {describe_error(error)}") from error
