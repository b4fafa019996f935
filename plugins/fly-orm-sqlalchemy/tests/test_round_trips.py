"""What Sessions and Connections cost in lax, in round trips; docs/sqlalchemy.md has the table."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from sqlalchemy import insert, select, text, update
from sqlalchemy.orm import Session
from sqlalchemy_models import Item
from sqlalchemy_regions import fill

from tests.support.two_regions import trips

pytestmark = pytest.mark.usefixtures("no_spare_channels")

ALL = select(Item).order_by(Item.id)


@pytest.fixture
def lax(regions):
    """Engines with 205 items, each with a channel to the node and a connection in its pool."""
    regions.create_tables()
    engine = regions.lax()
    fill(engine, 205)
    batched = regions.lax(executemany_mode="values_plus_batch", executemany_batch_page_size=50)
    pinged = regions.lax(pool_pre_ping=True)
    for each in (engine, batched, pinged):
        with each.begin() as connection:
            connection.execute(text("UPDATE item SET n = n WHERE id = 1"))
    autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")
    return SimpleNamespace(engine=engine, batched=batched, pinged=pinged, autocommit=autocommit)


def in_session(work, **options):
    """Work with a Session of an engine."""

    def run(lax):
        with Session(lax.engine.execution_options(**options)) as session:
            work(session)

    return run


def three_reads(session):
    for _ in range(3):
        session.scalars(ALL.limit(3)).all()


def reads_and_one_write(session):
    three_reads(session)
    session.add(item := Item(name="new"))
    session.commit()
    assert item.name == "new"  # loaded again


def many_inserts(session):
    session.add_all([Item(name=f"new {number}") for number in range(200)])
    session.commit()


def many_updates(session):
    for item in session.scalars(ALL.limit(20)):
        item.n += 1
    session.commit()


def nested_read(session):
    with session.begin_nested():
        session.scalars(ALL.limit(1)).all()
    session.scalars(ALL.limit(1)).all()


def for_update(session):
    session.scalars(ALL.limit(1).with_for_update()).all()
    session.rollback()


def in_pieces(session):
    assert len(list(session.scalars(ALL.execution_options(yield_per=50)))) == 205


def in_pieces_after_a_write(session):
    session.add(Item(name="new"))
    session.flush()
    assert len(list(session.scalars(ALL.execution_options(yield_per=50)))) == 206
    session.rollback()


def two_reads(session):
    for _ in range(2):
        session.scalars(ALL.limit(3)).all()


def one_update(session):
    session.execute(update(Item).where(Item.id == 1).values(n=5))


def insert_many(engine):
    with engine.begin() as connection:
        connection.execute(insert(Item), [{"name": f"new {number}"} for number in range(100)])


def update_many(engine):
    with engine.begin() as connection:
        rows = [{"number": number} for number in range(1, 101)]
        connection.execute(text("UPDATE item SET n = n + 1 WHERE id = :number"), rows)


def read(engine):
    with engine.connect() as connection:
        connection.execute(ALL.limit(1)).all()


CASES = {
    "three reads": (in_session(three_reads), 0),
    "three reads, immediate": (in_session(three_reads, fly_orm_immediate=True), 4),
    "three reads, one object added, commit, read again": (in_session(reads_and_one_write), 2),
    "the same, immediate": (in_session(reads_and_one_write, fly_orm_immediate=True), 7),
    "200 objects added": (in_session(many_inserts), 2),
    "20 loaded objects changed": (in_session(many_updates), 2),
    "begin_nested() around a read, a read": (in_session(nested_read), 0),
    "with_for_update, rollback": (in_session(for_update), 2),
    "AUTOCOMMIT, one UPDATE": (in_session(one_update, isolation_level="AUTOCOMMIT"), 1),
    "AUTOCOMMIT, one read, twice": (lambda lax: [read(lax.autocommit), read(lax.autocommit)], 0),
    "read-only, two reads": (in_session(two_reads, postgresql_readonly=True), 0),
    "REPEATABLE READ, two reads": (in_session(two_reads, isolation_level="REPEATABLE READ"), 3),
    "yield_per=50": (in_session(in_pieces), 0),
    "yield_per=50 after a write": (in_session(in_pieces_after_a_write), 11),
    "executemany of 100 INSERTs": (lambda lax: insert_many(lax.engine), 2),
    "executemany of 100 UPDATEs": (lambda lax: update_many(lax.engine), 2),
    "executemany of 100 UPDATEs in two pages": (lambda lax: update_many(lax.batched), 3),
    "a read with pool_pre_ping": (lambda lax: read(lax.pinged), 0),
}


@pytest.mark.parametrize(("work", "expected"), CASES.values(), ids=CASES)
def test_what_a_unit_of_work_costs(regions, lax, work, expected):
    assert trips(regions, lambda: work(lax)) == expected
