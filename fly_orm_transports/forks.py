"""What a forked child must do with the sockets that it inherits: let go of them, so that the parent's stay its own.

A child that kept them would hide the parent's death from the peer; one that closed them properly would say goodbye in
the parent's name.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Protocol
from weakref import WeakSet


class Abandonable(Protocol):
    """Something that holds sockets or state of the process that opened it."""

    def abandon(self) -> None:
        """Let go without a word to the peer. Takes no locks: in a child nobody is left to release them."""
        ...


_inherited: WeakSet[Abandonable] = WeakSet()


def abandon_in_children(thing: Abandonable) -> None:
    """``thing.abandon()`` is called first of all in every process forked from now on."""
    _install()
    _inherited.add(thing)


@cache
def _install() -> None:
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_abandon_all)


def _abandon_all() -> None:
    things = list(_inherited)
    _inherited.clear()  # first: what is abandoned may be of use again in the child, and come back
    for thing in things:
        thing.abandon()
