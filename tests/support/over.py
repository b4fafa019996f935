"""The transports of this tree, and how tests that are about no particular one are run over each of them."""

from __future__ import annotations

import configparser
import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

from fly_orm.registry import TRANSPORTS as GROUP
from fly_orm.registry import registry
from fly_orm.settings import Settings
from tests.support import two_regions
from tests.support.environments import SOURCES
from tests.support.two_regions import Way

_numbers = itertools.count(1)


def provided(source: Path) -> list[str]:
    """The transports that a distribution of this tree provides."""
    config = configparser.ConfigParser()
    config.read(source / "setup.cfg")
    lines = config["options.entry_points"].get("fly_orm.transports", "").strip().splitlines()
    return [line.partition("=")[0].strip() for line in lines]


TRANSPORTS = sorted(name for source in SOURCES for name in provided(source))


#: Those over which each test runs once; over the first, all of them do.
_OTHERS = [name for name in TRANSPORTS if name != Settings.transport]


def is_surplus(item: pytest.Item) -> bool:
    """Whether a test that runs over every transport has another one, chosen by its name, as a sample."""
    mark, parameters = item.get_closest_marker("over_every_transport"), getattr(item, "callspec", None)
    name = parameters and parameters.params.get("transport_between")
    if mark is None or mark.kwargs.get("quick") or name not in _OTHERS:
        return False
    return name != _OTHERS[crc32(item.nodeid.replace(name, "").encode()) % len(_OTHERS)]


@dataclass(frozen=True, kw_only=True)
class Indirect(Way):
    """A way on which no TCP connection leads straight to the node."""

    name: str
    """Part of the address, with a place for a number."""

    def listen(self) -> str:
        return self.name.format(next(_numbers))

    def network(self, address: str, *, rtt: float = 0.0) -> Any:
        assert not rtt
        return nullcontext(NoNetwork(address, self.transport))


@dataclass(frozen=True, kw_only=True)
class Within(Indirect):
    """A way that stays within this process."""

    def require_processes(self) -> None:
        pytest.skip(f"over {self.transport} nothing reaches another process")


class NoNetwork:
    """Stands where a :class:`fly_orm.testing.Wan` would, and skips the test that asks it for more than an address."""

    def __init__(self, address: str, transport: str) -> None:
        self.__dict__.update(address=address, transport=transport)

    def __getattr__(self, name: str) -> Any:
        self._skip()

    def __setattr__(self, name: str, value: Any) -> None:
        self._skip()

    def _skip(self) -> None:
        pytest.skip(f"over {self.transport} no TCP connection leads to the node, to be counted, slowed down or cut")


#: Those that are not over TCP.
WAYS = {
    "inprocess": Within(transport="inprocess", name="syd {}"),
    "nats": Indirect(transport="nats", name=f"nats:test_{os.getpid()}.syd_{{}}"),
}


@contextmanager
def over(transport: str) -> Iterator[None]:
    """A block in which the regions of a test have this transport between them."""
    if transport not in registry(GROUP).names():
        problem = f"the transport {transport} is not installed: make install"
        pytest.fail(problem) if os.environ.get("CI") else pytest.skip(problem)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(two_regions, "way", WAYS.get(transport) or Way(transport=transport))
        yield
