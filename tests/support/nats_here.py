"""A NATS server, started as the tests of the NATS plug-in start theirs."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support import ROOT

_THEIRS = ROOT / "plugins" / "fly-orm-nats" / "tests" / "nats_server.py"


@contextmanager
def nats() -> Iterator[str]:
    """Its URL, as long as the block lasts; without ``nats-server`` it skips, or fails where CI is set."""
    spec = importlib.util.spec_from_file_location("nats_server", _THEIRS)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with module.nats_server() as server:
        yield server.url
