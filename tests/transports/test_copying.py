"""A COPY of several pieces arrives over every transport, with both ORMs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pony import orm

from tests.support.pony_regions import pony_in_lax
from tests.support.two_regions import TwoRegions

pytestmark = pytest.mark.over_every_transport(quick=True)
MIB = 1024 * 1024


@contextmanager
def peewee_connection(regions: TwoRegions) -> Iterator[Any]:
    yield regions.lax().connection()


@contextmanager
def pony_connection(regions: TwoRegions) -> Iterator[Any]:
    with pony_in_lax(regions) as db, orm.db_session:
        yield db.get_connection()


class Rows:
    """A file of rows of a MiB each."""

    def __init__(self, count: int) -> None:
        self.left = count

    def read(self, size: int) -> bytes:
        self.left -= 1
        return b"x" * (MIB - 1) + b"\n" if self.left >= 0 else b""


@pytest.mark.parametrize("connection_of", [peewee_connection, pony_connection])
def test_a_copy_in_pieces_arrives(regions: TwoRegions, connection_of: Callable[..., Any]) -> None:
    regions.query("CREATE TABLE t (name text)")
    regions.cluster.wait_for_replica()
    rows: list[int] = []
    file: Any = type("Rows", (), {"write": lambda _file, row: rows.append(len(row))})()
    with connection_of(regions) as connection:
        cursor = connection.cursor()
        cursor.execute("BEGIN")
        cursor.copy_from(Rows(5), "t")
        cursor.copy_to(file, "t")
        cursor.execute("COMMIT")
    assert rows == [MIB] * 5
    assert regions.query("SELECT count(*) FROM t") == 5
