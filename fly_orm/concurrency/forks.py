"""What a forked child does with the sockets and locks that it inherits: it lets go of them without a word.

A child that kept its parent's sockets open would hide the parent's death from the peer. A child that closed them in the
usual way would say goodbye in the parent's name. A lock that another thread held during the fork stays locked in the
child, where that thread does not exist.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Protocol
from weakref import WeakSet


class Abandonable(Protocol):
    """Something that holds sockets, locks or other state of the process that made it."""

    def abandon(self) -> None:
        """Let go without a word to the peer: close file descriptors in this process only, and replace locks.

        Must not acquire a lock: the thread that would release it may not exist here.
        """
        ...


_registered: WeakSet[Abandonable] = WeakSet()


def abandon_in_children(thing: Abandonable) -> None:
    """Call ``thing.abandon()`` in each child that this process forks from now on, before any of its own code runs.

    The thing is not kept alive for that. A child does not register it again: ``abandon`` does so itself if the thing
    stays in use there. Any thread may call.
    """
    _install()
    _registered.add(thing)


@cache
def _install() -> None:
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_abandon_all)


def _abandon_all() -> None:
    things = list(_registered)
    _registered.clear()  # first: a thing that stays in use registers again
    for thing in things:
        thing.abandon()
