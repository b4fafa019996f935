"""Threads of fly_orm, none of which may outlive what started it."""

from __future__ import annotations

import _thread
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from fly_orm.testing.contract import tools
from fly_orm.transport import Transport

Threads = Callable[..., list[threading.Thread]]


@contextmanager
def ending_threads() -> Iterator[Threads]:
    """A block that ends once all threads of fly_orm that it started have ended.

    Its value lists those that there are at present, with names that begin as one says. Those that were there before do
    not count: an earlier test may have left some that wait for their database to be forgotten.
    """
    before = set(threading.enumerate())

    def present(*names: str) -> list[threading.Thread]:
        started = set(threading.enumerate()) - before
        return [thread for thread in started if thread.name.startswith(names or ("fly_orm", "fly-orm"))]

    yield present
    tools.until(lambda: not present(), complaint=present)


@contextmanager
def node_of(transport: Transport, listen: str) -> Iterator[tools.Node]:
    """A node as long as the block lasts, none of whose threads outlives it."""
    with ending_threads(), tools.node_of(transport, listen) as node:
        yield node


def refuse_threads(patch: pytest.MonkeyPatch, name: str) -> list[str]:
    """Let fly_orm start no thread of this name, as if there was no room for another one.

    Returns a list to which its name is added each time.
    """
    start, refused = _thread.start_new_thread, []

    def refuse(function: Any, args: Any) -> int:
        if name in args:
            refused.append(name)
            raise RuntimeError("can't start new thread")
        return start(function, args)

    patch.setattr("fly_orm.concurrency.threads._thread", SimpleNamespace(start_new_thread=refuse))
    return refused
