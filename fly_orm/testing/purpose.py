"""What a run of pytest is for, as its options say."""

from __future__ import annotations

from argparse import Namespace

from .environment import is_worker, workers_by_default

#: Options with which pytest only shows something.
_SHOWS = (
    "cacheshow",
    "collectonly",
    "help",
    "markers",
    "setupplan",
    "show_fixtures_per_test",
    "showfixtures",
    "version",
)


def shows_only(options: Namespace) -> bool:
    """Whether no test runs, in this process or in another one."""
    return any(getattr(options, name, None) for name in _SHOWS)


def distributes(options: Namespace) -> bool:
    """Whether pytest-xdist will run the tests in other processes.

    The options are those that were given: pytest-xdist replaces some later, which this anticipates. It cannot know
    what a ``conftest.py`` does about ``-n auto``.
    """
    if is_worker():
        return False
    number = getattr(options, "numprocesses", None)
    if number is None:
        chosen = getattr(options, "distload", False) or getattr(options, "dist", "no") != "no"
        return bool(chosen and getattr(options, "tx", None))
    if number in ("auto", "logical"):
        return not (getattr(options, "usepdb", False) or workers_by_default() == 0)
    return bool(number)
