"""Turns text that users wrote into values, or into a ConfigurationError that says what to write instead."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any, TypeVar, get_type_hints

from .deadline import check_timeout
from .errors import ConfigurationError

T = TypeVar("T")

#: What may follow a number, the largest first.
UNITS = {"GiB": 2**30, "MiB": 2**20, "KiB": 2**10}
#: The most processes of one node.
MOST_WORKERS = 4096
#: The most of what is counted, unless a limit says less.
MOST = 2**31 - 1
_SWITCHES = {"on": True, "off": False, "true": True, "false": False, "1": True, "0": False}


def suggestion(name: str, known: Collection[str]) -> str:
    """The end of an error message about an unknown name: the nearest known one, and all of them."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0)
    return f"did you mean {near[0]!r}? Known: {', '.join(known)}" if near else "none is known"


@contextmanager
def naming(source: str, address: str) -> Iterator[None]:
    """A block whose ConfigurationError about an address also says which variable or argument has given it."""
    try:
        yield
    except ConfigurationError as error:
        if not source or getattr(error, "address", None) != address:
            raise
        raise ConfigurationError(f"{source}: {error}", address=address) from error.__cause__


def parse_text(_name: str, text: str) -> str:
    """The text itself."""
    return text


def parse_switch(name: str, text: str) -> bool:
    """True for ``on``, ``true`` or ``1``, False for ``off``, ``false`` or ``0``."""
    if text.lower() not in _SWITCHES:
        raise ConfigurationError(f"{name}={text!r:.100} is neither 'on' nor 'off'")
    return _SWITCHES[text.lower()]


def parse_integer(name: str, text: str) -> int:
    """The whole number that the text is."""
    try:
        return int(text)
    except ValueError:
        raise ConfigurationError(f"{name}={text!r:.100} is not a whole number") from None


def parse_workers(name: str, text: str) -> int | None:
    """A number of processes, 1 or more; None for ``auto``."""
    if text.lower() == "auto":
        return None
    if not 1 <= (number := parse_integer(name, text)) <= MOST_WORKERS:
        raise ConfigurationError(f"{name}={text!r:.100} is not allowed: write a number up to {MOST_WORKERS}, or 'auto'")
    return number


def parse_size(name: str, text: str) -> int:
    """The number of bytes that the text is, perhaps with a unit: ``64KiB``, ``32MiB``, ``1GiB``."""
    for unit, size in UNITS.items():
        if text.endswith(unit):
            return parse_integer(name, text.removesuffix(unit)) * size
    return parse_integer(name, text)


def parse_number(name: str, text: str) -> float:
    """The number that the text is."""
    try:
        return float(text)
    except ValueError:
        raise ConfigurationError(f"{name}={text!r:.100} is not a number") from None


def parse_timeout(name: str, text: str) -> float | None:
    """A timeout in seconds, 0 or more; None for ``none``, which is no limit."""
    if text.lower() == "none":
        return None
    try:
        return check_timeout(name, float(text))
    except ValueError:
        raise ConfigurationError(
            f"{name}={text!r:.100} is not a timeout: write seconds, 0 or more, or 'none' for no limit"
        ) from None


def given_timeout(name: str, value: object) -> float | None:
    """The timeout that an argument gives: seconds, None for no limit, or either as text, as in a variable."""
    if isinstance(value, str):
        return parse_timeout(name, value)
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool) and value >= 0):
        return value
    raise ConfigurationError(f"{name} must be None (no limit), 0 (do not wait) or more seconds, not {value!r:.100}")


@dataclass(frozen=True, kw_only=True)
class Limit:
    """What one setting limits, and what it may be set to. docs/limits.md has a table of all."""

    meaning: str
    """For the help of ``fly-orm serve`` and the documentation."""
    unit: str = ""
    """``seconds``, of which there may be any number or None, which is no limit; ``bytes``; empty for other counts."""
    least: int = 0
    most: int = MOST
    unset: str = ""
    """What None stands for, in words, if it is allowed and is not simply no limit."""
    of_callers: bool = False
    """Whether it limits what a process asks of nodes, and not what a node does for others."""

    def check(self, name: str, value: Any) -> Any:
        """The value, or that of a text; ConfigurationError, in which ``name`` names it, if it is out of bounds."""
        if isinstance(value, str):
            return self.parse(name, value)
        if self.unit == "seconds":
            return given_timeout(name, value)
        if value is None and self.unset:
            return value
        if type(value) is not int or not self.least <= value <= self.most:
            is_too_much = type(value) is int and value > self.most
            bounds = f"{self.text_of(self.most)} or less" if is_too_much else self.bounds
            raise ConfigurationError(f"{name} must be a whole number{self.of_unit}, {bounds}, not {_brief(value)}")
        return value

    def parse(self, name: str, text: str) -> Any:
        """The value that a text gives; ConfigurationError if it gives none."""
        if self.unset and text.lower() in ("auto", "none"):
            if text.lower() == "auto":
                return None
            raise ConfigurationError(f"{name}={text!r:.100} is not allowed: write {self.bounds}")
        if self.unit == "seconds":
            return parse_timeout(name, text)
        return self.check(name, parse_size(name, text) if self.unit else parse_integer(name, text))

    @property
    def of_unit(self) -> str:
        """What is counted, for messages."""
        return f" of {self.unit}" if self.unit else ""

    @property
    def bounds(self) -> str:
        """What it may be set to."""
        if self.unit == "seconds":
            return f"0 or more, or `{'auto' if self.unset else 'none'}`"
        least = self.text_of(self.least)
        return f"{least} or more" if self.most == MOST else f"{least} to {self.text_of(self.most)}"

    def text_of(self, value: Any) -> str:
        """A value as one would write it."""
        if value is None:
            return self.unset or "none"
        for unit, size in UNITS.items() if self.unit == "bytes" else ():
            if value >= size and value % size == 0:
                return f"{value // size}{unit}"
        return f"{value:g}" if self.unit == "seconds" else str(value)


def _brief(value: object) -> str:
    """The beginning of how Python writes a value."""
    try:
        return f"{value!r:.100}"
    except ValueError:  # Python writes no number of more than 4300 digits
        return "a number that is much greater"


def parse_pairs(name: str, text: str) -> Mapping[str, str]:
    """The values by key in ``key=value key='a value'``, which is quoted as in a shell.

    An error message does not repeat a value, which may be a secret.
    """
    pairs = _pairs(text)
    del text  # which a traceback with local variables would show
    if isinstance(pairs, str):
        raise ConfigurationError(f"{name}{pairs}")
    return pairs


def _pairs(text: str) -> dict[str, str] | str:
    """The pairs, or the end of a sentence that says what is wrong with the text."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        return f" is not a list of key=value pairs: {error}"
    pairs: dict[str, str] = {}
    for number, word in enumerate(words, start=1):
        key, equals, value = word.partition("=")
        if not key or not equals:
            return f": item {number} is not key=value; separate the pairs by spaces, and quote a value that has some"
        if key in pairs:
            return f" sets {key} twice"
        pairs[key] = value
    return pairs


_PARSERS: dict[Any, Callable[[str, str], Any]] = {
    str: parse_text,
    bool: parse_switch,
    int: parse_integer,
    float: parse_number,
    float | None: parse_timeout,
}


def parse_options(kind: type[T], options: Mapping[str, str]) -> T:
    """The options of a transport, ``Settings.transport_options``, as an instance of its dataclass ``kind``.

    Each field is an option and has a default. Its type says what to write: ``str``, ``int``, ``float``, ``bool``
    (``on`` or ``off``), or ``float | None`` for a timeout (seconds, or ``none``). ``__post_init__`` may refuse a value
    with a ValueError that says what is allowed.

    ConfigurationError for an option that ``kind`` does not have, and for a value that it cannot take.
    """
    source, hints = "FLY_ORM_TRANSPORT_OPTIONS", get_type_hints(kind)
    names = sorted(field.name for field in fields(kind))  # type: ignore[arg-type]  # a dataclass, as documented
    values = {}
    for name, text in options.items():
        if not names:
            raise ConfigurationError(f"{source}: there is no option {name!r:.100}, as this transport has no options")
        if name not in names:
            raise ConfigurationError(f"{source}: there is no option {name!r:.100}; {suggestion(name, names)}")
        values[name] = _PARSERS[hints[name]](f"{source}: {name}", str(text))
    try:
        return kind(**values)
    except ValueError as error:
        raise ConfigurationError(f"{source}: {error}") from error
