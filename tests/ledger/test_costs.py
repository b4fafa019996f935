"""What a ledger costs: queries on the primary, and round trips between the regions."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.statement_log import logged
from tests.support.two_regions import TwoRegions, trips
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("no_spare_channels")
INSERT = "INSERT INTO t (name) VALUES (%s) RETURNING id"


def insert(db: Any) -> None:
    db.execute_sql(INSERT, (None,))


def insert_many(db: Any) -> None:
    db.cursor().executemany("INSERT INTO t (name) VALUES (%s)", [(None,)] * 5)


def commit(db: Any) -> None:
    with db.atomic():
        insert(db)
        insert(db)


@pytest.mark.parametrize(("work", "before", "after"), [(insert, 2, 3), (insert_many, 6, 7), (commit, 7, 5)])
def test_queries(regions: TwoRegions, work: Callable[[Any], None], before: int, after: int) -> None:
    """BEGIN is one more, and the row, COMMIT and the question for the position share one.

    Without a ledger, a transaction is asked for its id once.
    """
    for exactly_once, expected in ((False, before), (True, after)):
        db = regions.lax(options={"exactly_once": exactly_once})
        work(db)  # on a connection that is open from now on
        with logged(regions.cluster.primary, regions.name) as statements:
            work(db)
            assert len(queries(statements())) == expected, exactly_once
        db.close()


def queries(statements: list[str]) -> list[str]:
    """Those that a caller waits for. Connections are cleaned together with the question for the position, or later."""
    cleaning = re.compile(
        r"(?s)SELECT pg_catalog.pg_advisory_unlock_all(?!.*flush_lsn)|SELECT FROM|ROLLBACK|.*fly_orm'"
    )
    return [sql for sql in statements if not cleaning.match(sql)]


@pytest.mark.parametrize("work", [insert, insert_many, commit])
def test_round_trips(regions: TwoRegions, db: Any, work: Callable[[Any], None]) -> None:
    plain = regions.lax()
    work(db), work(plain)
    until(lambda: trips(regions, lambda: work(plain)) == trips(regions, lambda: work(db)))
