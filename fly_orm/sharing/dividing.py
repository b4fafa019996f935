"""How what a node may have is divided among its workers."""

from __future__ import annotations

#: A peer leaves every fifth place to others, unless another share is set.
_LEFT = 5


def part(total: int, number: int, workers: int) -> int:
    """How many of ``total`` places the worker of this number has, from 0: the first ones have one more if need be.

    >>> [part(10, number, 4) for number in range(4)]
    [3, 3, 2, 2]
    """
    return total // workers + (number < total % workers)


def default_share(places: int) -> int:
    """How many of so many places one peer may take: it leaves every fifth to others, so all if they are fewer."""
    return places - places // _LEFT


def part_of_peer(most: int, size: int, total: int) -> int:
    """How many places one peer may have of a worker that has ``size`` of ``total``, if it may have ``most`` of these.

    In all workers together, it is ``most`` at most, unless one place in each is more than that.
    """
    return max(1, size * most // total)
