"""How ``executemany`` takes its parameters, and cuts its statements into requests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from ..sessions.operation import current_operation

T = TypeVar("T")

#: The most that one request carries, unless a single statement is longer.
MAX_STATEMENTS, MAX_BYTES = 1000, 4 * 1024 * 1024


def taken(items: Iterable[T]) -> tuple[list[T], Exception | None]:
    """The items up to the first that could not be had, and the error that was raised in its place, if any."""
    found: list[T] = []
    iterator = iter(items)
    try:
        found.extend(iterator)
    except Exception as error:  # noqa: BLE001  # the caller raises it
        return found, error
    return found, None


def batches(sqls: Sequence[bytes]) -> Iterator[list[bytes]]:
    """The statements in order, as lists that each fit in one request; as one list if they are one operation."""
    if sqls and current_operation() is not None:
        yield list(sqls)
        return
    batch: list[bytes] = []
    size = 0
    for sql in sqls:
        if batch and (len(batch) == MAX_STATEMENTS or size + len(sql) > MAX_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(sql)
        size += len(sql)
    if batch:
        yield batch
