"""What processes find in their environment."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import quote, urlencode

#: Prefixes of variables that say where a process runs, and which database it has.
_OF_THE_SET_UP = ("DATABASE_URL", "FLYORM_", "FLY_", "MY_REGION", "PG", "PRIMARY_REGION")
_NOT_OF_IT = ("PG_BIN",)


def inherited() -> dict[str, str]:
    """The environment of this process, without what is about its own regions and databases."""
    about = _of_the_set_up()
    return {name: value for name, value in os.environ.items() if name not in about}


@contextmanager
def replaced(variables: Mapping[str, str]) -> Iterator[None]:
    """A block in which this process has these variables, and no others that are about regions and databases."""
    before = {name: os.environ.get(name) for name in {*_of_the_set_up(), *variables}}
    _change({**dict.fromkeys(before), **variables})
    try:
        yield
    finally:
        _change(before)


def is_worker() -> bool:
    """Whether this process runs tests for another one, which pytest-xdist has started."""
    return "PYTEST_XDIST_WORKER" in os.environ


def workers_by_default() -> int | None:
    """How many processes pytest-xdist starts for ``-n auto``, if a variable says it."""
    try:
        return int(os.environ.get("PYTEST_XDIST_AUTO_NUM_WORKERS", ""))
    except ValueError:
        return None


def _of_the_set_up() -> set[str]:
    return {name for name in os.environ if name.startswith(_OF_THE_SET_UP) and name not in _NOT_OF_IT}


def _change(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def url(parameters: Mapping[str, object]) -> str:
    """Connection parameters as the URL of a database."""
    given = {name: str(value) for name, value in parameters.items()}
    name = quote(given.pop("dbname"), safe="")
    return f"postgresql://{quote(given.pop('user'))}@/{name}?{urlencode(given)}"
