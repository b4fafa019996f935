"""The secrets that the processes of an application share, as values that show nothing of what they hold."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..errors import ConfigurationError

#: Shorter secrets could be guessed.
MIN_LENGTH = 16
#: The most secrets that a process may hold at a time: the new one, the old one, and two for rotations that overlap.
MAX_SECRETS = 4
#: The advice in each error about a missing or weak secret.
MAKE_ONE = "`fly-orm secret` prints a good one"


class Secret:
    """One secret. Neither ``repr()`` nor ``str()`` shows it, so that logs and tracebacks with locals do not either."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The secret itself."""
        return self._text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return "Secret(***)"


class Secrets:
    """The secrets of a process, in order: the first one signs, and all of them verify. Immutable; may be empty."""

    __slots__ = ("_all",)

    def __init__(self, text: str = "") -> None:
        """``text`` has the secrets, separated by commas or whitespace."""
        # Made here and checked elsewhere: the frame of a call that raises would show its argument.
        self._all = tuple(dict.fromkeys(map(Secret, re.findall(r"[^\s,]+", text))))

    def __iter__(self) -> Iterator[Secret]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secrets) and other._all == self._all

    def __hash__(self) -> int:
        return hash(self._all)

    def __repr__(self) -> str:
        return f"Secrets({', '.join('***' for _ in self._all)})"

    def check(self, name: str = "FLY_ORM_SECRET") -> Secrets:
        """The secrets themselves; ConfigurationError, in which ``name`` names them, if there are too many, or one of
        them is too short.
        """
        if len(self) > MAX_SECRETS:
            raise ConfigurationError(
                f"{name} has {len(self)} values, and may have {MAX_SECRETS}; commas and whitespace separate "
                "them, so a single value may contain neither"
            )
        for number, secret in enumerate(self, start=1):
            if (length := len(secret.reveal())) < MIN_LENGTH:
                which = f"value {number} of {name}" if len(self) > 1 else name
                raise ConfigurationError(
                    f"{which} is {length} characters long and could be guessed; use at least {MIN_LENGTH}, without "
                    f"commas or whitespace, which separate several values: {MAKE_ONE}"
                )
        return self
