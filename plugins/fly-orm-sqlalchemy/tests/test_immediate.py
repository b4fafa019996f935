"""Where reads before the first write run, by ``fly_orm_immediate`` and by isolation level, and what they can miss."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine, select, update
from sqlalchemy.exc import ArgumentError, IntegrityError, InvalidRequestError
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import StaleDataError
from sqlalchemy_models import Item, Owner, Versioned
from sqlalchemy_regions import LOCAL, PRIMARY, fill, served

import fly_orm
from tests.support.nodes import url

READ = "SELECT count(*) FROM item"


@pytest.fixture
def engine(regions):
    regions.create_tables()
    engine = regions.lax()
    fill(engine, 1)
    return engine


def route(connection):
    connection.rollback()
    [_], found = served(connection, READ)
    connection.rollback()
    return found


def test_it_is_an_option_of_a_connection_until_that_is_given_back(engine):
    with engine.connect() as connection:
        assert route(connection) is LOCAL
        assert route(connection.execution_options(fly_orm_immediate=True)) is PRIMARY
        assert route(connection.execution_options(fly_orm_immediate=False)) is LOCAL
        connection.execution_options(fly_orm_immediate=True)
    with engine.connect() as connection:
        assert route(connection) is LOCAL
    with Session(engine) as session:
        session.connection(execution_options={"fly_orm_immediate": True})
        assert served(session, READ) == ([(1,)], PRIMARY)


def test_it_is_an_option_of_an_engine_whether_it_is_created_or_derived_with_it(regions, engine):
    with engine.execution_options(fly_orm_immediate=True).connect() as connection:
        assert route(connection) is PRIMARY
    with engine.connect() as connection:
        assert route(connection) is LOCAL
    with regions.lax(execution_options={"fly_orm_immediate": True}).connect() as connection:
        assert route(connection) is PRIMARY


def test_it_is_true_or_false_and_not_changed_within_a_transaction(engine):
    with engine.connect() as connection:
        with pytest.raises(ArgumentError, match="fly_orm_immediate is True or False, not 'no'"):
            connection.execution_options(fly_orm_immediate="no")
        served(connection, READ)
        with pytest.raises(InvalidRequestError, match="fly_orm_immediate may not be altered"):
            connection.execution_options(fly_orm_immediate=True)


def test_where_nothing_is_routed_it_means_nothing(regions, engine):
    for other in (regions.syd(), regions.unwrapped(regions.cluster.primary)):
        with other.execution_options(fly_orm_immediate=True).connect() as connection:
            assert served(connection, READ)[0] == [(1,)]


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_a_transaction_that_reads_one_snapshot_is_on_the_primary_from_its_first_read(engine, level):
    with engine.connect().execution_options(isolation_level=level) as connection:
        assert route(connection) is PRIMARY
    with engine.connect() as connection:
        assert route(connection) is LOCAL


def test_a_read_only_transaction_stays_on_the_replica_at_any_level_it_has(engine):
    for level in ("READ COMMITTED", "REPEATABLE READ"):
        options = {"isolation_level": level, "postgresql_readonly": True}
        with engine.connect().execution_options(**options) as connection:
            assert route(connection) is LOCAL


class TestAStaleRead:
    """Somebody else's transaction is committed, and the replica does not show it yet."""

    def test_is_detected_by_a_version_and_the_second_attempt_reads_on_the_primary(self, regions, engine):
        with Session(engine) as session, session.begin():
            session.add(Versioned(id=1, n=0))
        with regions.cluster.replay_paused():
            regions.query("UPDATE versioned SET n = 100, version = 2")
            with Session(engine) as session:
                session.get(Versioned, 1).n += 1
                with pytest.raises(StaleDataError):
                    session.commit()
                session.rollback()
                session.get(Versioned, 1).n += 1
                assert fly_orm.why().route is PRIMARY
                with fly_orm.wait_for("none"):
                    session.commit()
        assert regions.query("SELECT n FROM versioned") == 101

    def test_is_not_detected_without_one(self, regions, engine):
        with regions.cluster.replay_paused():
            regions.query("UPDATE item SET n = 100")
            with fly_orm.wait_for("none"), Session(engine) as session, session.begin():
                session.get(Item, 1).n += 1
        assert regions.query("SELECT n FROM item") == 1

    @pytest.mark.parametrize("how", ["immediate", "for update", "in SQL", "primary"])
    def test_does_not_happen_to_those_who_ask_the_primary(self, regions, engine, how):
        with regions.cluster.replay_paused():
            regions.query("UPDATE item SET n = 100")
            given = engine.execution_options(fly_orm_immediate=how == "immediate")
            with fly_orm.wait_for("none"), Session(given) as session, session.begin():
                if how == "in SQL":
                    session.execute(update(Item).values(n=Item.n + 1))
                elif how == "primary":
                    with fly_orm.primary():
                        session.get(Item, 1).n += 1
                else:
                    session.get(Item, 1, with_for_update=how == "for update").n += 1
        assert regions.query("SELECT n FROM item") == 101

    def test_of_children_leaves_some_behind_that_the_foreign_key_protects(self, regions, engine):
        with Session(engine) as session, session.begin():
            session.add(Owner(id=1, name="ann", items=[Item(name="a")]))
        with regions.cluster.replay_paused():
            regions.query("INSERT INTO item (name, n, owner_id) VALUES ('b', 0, 1)")
            with Session(engine) as session:
                session.delete(session.get(Owner, 1))
                with pytest.raises(IntegrityError):
                    session.commit()

    def test_stays_in_the_identity_map_until_it_is_refreshed(self, regions, engine):
        with regions.cluster.replay_paused():
            regions.query("UPDATE item SET n = 100")
            with fly_orm.wait_for("none"), Session(engine) as session:
                item = session.get(Item, 1)
                session.add(Item(name="new"))
                session.flush()
                assert session.scalars(select(Item).where(Item.id == 1)).one().n == item.n == 0
                session.refresh(item)
                assert item.n == 100


def test_the_url_may_name_the_plug_in(regions, engine):
    fly_orm.configure(regions.lax_settings())
    address = url(regions.cluster.replica, regions.name)
    for made in (create_engine(f"{address}&plugin=fly_orm"), create_engine(address, plugins=["fly_orm"])):
        regions.close_later(made)
        with made.connect() as connection:
            assert served(connection, "SELECT pg_is_in_recovery()") == ([(True,)], LOCAL)
