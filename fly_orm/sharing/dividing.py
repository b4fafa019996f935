"""How what a node may have is divided among its workers."""

from __future__ import annotations


def part(total: int, number: int, workers: int) -> int:
    """How many of ``total`` places the worker of this number has, from 0: the first ones have one more if need be.

    >>> [part(10, number, 4) for number in range(4)]
    [3, 3, 2, 2]
    """
    return total // workers + (number < total % workers)


def part_of_peer(most: int, workers: int) -> int:
    """How many of the ``most`` places that one peer may have it may have in each worker, rounded up."""
    return -(-most // workers)
