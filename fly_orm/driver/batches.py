"""How ``executemany`` cuts its statements into requests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

#: The most that one request carries, unless a single statement is longer.
MAX_STATEMENTS, MAX_BYTES = 1000, 4 * 1024 * 1024


def batches(sqls: Sequence[bytes]) -> Iterator[list[bytes]]:
    """The statements in order, as lists that each fit in one request."""
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
