"""Why a value does not travel, and where in the argument it is."""

from __future__ import annotations

from ..errors import FlyOrmError, NotPortable
from .names import class_name

#: What to do about a value whose type does not travel.
ADVICE = "register its class with fly_orm.register_type, or pass something else"
#: How many steps of a path are told.
_STEPS = 12


class CodecError(FlyOrmError):
    """The bytes do not stand for a value or an exception, or for one whose class is not known here."""


class Refusal(Exception):
    """Raised while a value is packed. Each container that it passes adds the step that leads to the culprit."""

    def __init__(self, why: str, *, deep: bool = False) -> None:
        super().__init__(why)
        self.why = why
        self.deep = deep
        """Whether it is refused for its depth. That cannot be mended by leaving out its innermost part."""
        self._steps: list[str] = []
        self._holders: list[int] = []

    def passes(self, step: str, holder: object) -> None:
        """Note that the culprit is at ``step`` of ``holder``."""
        self._steps.append(step)
        self._holders.append(id(holder))

    def path(self) -> str:
        """The steps from the outermost value to the culprit, such as ``[3].price``."""
        steps = self._steps[::-1]
        return "".join(steps) if len(steps) <= _STEPS else "".join(steps[:_STEPS]) + "…"

    def reason(self) -> str:
        """What is the matter, and what to do."""
        if self.deep and len(set(self._holders)) < len(self._holders):
            return "it contains itself, so it cannot travel; pass something that does not"
        return self.why

    def as_error(self, name: str) -> NotPortable:
        """The error for the caller who passed ``name``, such as "argument 'items'"."""
        path = name + self.path()
        return NotPortable(f"{path}: {self.reason()}", path=path)


def cannot_travel(value: object) -> Refusal:
    """The refusal of a value for its type."""
    cls = type(value)
    name = class_name(cls)
    for base in cls.__mro__[1:-1]:
        if base.__module__ == "builtins" and base is not BaseException and not issubclass(cls, BaseException):
            name += f" (a subclass of {base.__name__})"
            break
    return Refusal(f"{'an' if name[:1] in 'aeiou' else 'a'} {name} cannot travel; {ADVICE}")
