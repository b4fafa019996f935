"""In a secondary region, an engine reads from the replica and writes on the primary, over each transport."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import insert, select, text, update
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import Session, scoped_session, sessionmaker
from sqlalchemy_models import Item, Owner
from sqlalchemy_regions import LOCAL, PRIMARY, served

import fly_orm

pytestmark = pytest.mark.parametrize("transport", ["pyro5", "nats"], indirect=True)


@pytest.fixture
def engine(regions):
    regions.create_tables()
    return regions.lax()


IN_RECOVERY = "SELECT pg_is_in_recovery()"


def test_a_session_reads_locally_until_it_writes_and_reads_its_writes_back(engine):
    with Session(engine) as session:
        assert served(session, IN_RECOVERY) == ([(True,)], LOCAL)
        owner = Owner(name="ann", items=[Item(name="a"), Item(name="b")])
        session.add(owner)
        session.flush()
        assert served(session, IN_RECOVERY) == ([(False,)], PRIMARY)
        session.commit()
        assert [item.name for item in owner.items] == ["a", "b"]
        assert fly_orm.why().route is LOCAL
    with Session(engine) as session:
        assert session.scalars(select(Item.name).order_by(Item.id)).all() == ["a", "b"]
        assert fly_orm.why().route is LOCAL


def test_a_tenant_of_a_function_is_gone_when_the_session_is_rolled_back(regions, engine):
    regions.query(
        "CREATE FUNCTION set_tenant(text) RETURNS void LANGUAGE plpgsql AS "
        "$$BEGIN PERFORM set_config('app.tenant', $1, false); END$$"
    )
    regions.cluster.wait_for_replica()
    tenant = "SELECT nullif(current_setting('app.tenant', true), '')"
    with Session(engine) as session:
        served(session, "SELECT set_tenant('a')")
        session.scalars(select(Item)).all()
        assert served(session, tenant)[0] == [("a",)]
        session.rollback()
    with Session(engine) as session:  # over the same connection of the pool
        assert served(session, tenant) == ([(None,)], LOCAL)
        session.add(Item(name="b"))
        session.flush()
        assert served(session, tenant) == ([(None,)], PRIMARY)


def test_what_is_rolled_back_is_gone_and_savepoints_nest(engine):
    with Session(engine) as session:
        session.add(Item(name="a"))
        session.flush()
        with pytest.raises(ZeroDivisionError), session.begin_nested():
            session.add(Item(name="b"))
            session.flush()
            raise ZeroDivisionError
        with session.begin_nested():
            session.add(Item(name="c"))
        session.commit()
        session.add(Item(name="d"))
        session.flush()
        session.rollback()
        assert session.scalars(select(Item.name).order_by(Item.id)).all() == ["a", "c"]


def test_a_scoped_session_and_core_do_the_same(engine):
    registry = scoped_session(sessionmaker(engine))
    registry.add(Item(name="a"))
    registry.commit()
    assert registry.scalars(select(Item.name)).all() == ["a"]
    assert fly_orm.why().route is LOCAL
    registry.remove()
    with engine.begin() as connection:
        assert connection.execute(update(Item).values(n=1)).rowcount == 1
    with engine.connect() as connection:
        assert connection.execute(select(Item.n)).scalar() == 1
        assert fly_orm.why().route is LOCAL
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        assert connection.execute(insert(Item).returning(Item.id), [{"name": "x"}, {"name": "y"}]).all() != []
        assert connection.execute(select(Item.name).order_by(Item.id)).scalars().all() == ["a", "x", "y"]


def test_an_error_of_the_primary_is_sqlalchemys_around_psycopg2s(engine):
    with Session(engine) as session:
        session.add(Item(name="a"))
        session.commit()
        session.add(Item(name="a"))
        with pytest.raises(IntegrityError) as caught:
            session.commit()
        assert caught.value.orig.diag.constraint_name == "item_name_key"
        session.rollback()
        assert session.scalars(select(Item.name)).all() == ["a"]


def test_an_error_of_fly_orms_is_caught_as_sqlalchemys_and_as_fly_orms(regions, engine, impatient):
    with Session(engine) as session:
        assert session.scalars(select(Item.name)).all() == []
        regions.serving.close()
        session.add(Item(name="a"))
        with pytest.raises(OperationalError) as caught:
            session.commit()
        assert isinstance(caught.value, fly_orm.NotDelivered | fly_orm.Refused)
        assert isinstance(caught.value.orig, fly_orm.NotDelivered | fly_orm.Refused)
        session.rollback()
        assert session.scalars(select(Item.name)).all() == []


def test_a_temporary_table_lasts_until_its_connection_is_given_back(regions, engine):
    with engine.connect() as connection:
        connection.execute(text("CREATE TEMP TABLE mine (n int)"))
        connection.commit()
        assert served(connection, "SELECT count(*) FROM mine") == ([(0,)], PRIMARY)
    with fly_orm.session(), engine.connect() as connection:
        assert served(connection, IN_RECOVERY) == ([(True,)], LOCAL)
        assert served(connection, "SELECT to_regclass('mine') IS NULL") == ([(True,)], LOCAL)


def test_no_thread_reads_less_than_it_has_committed(regions, engine):
    missed, written = [], []

    def write(number):
        for turn in range(10):
            name = f"{number}.{turn}"
            with Session(engine) as session, session.begin():
                session.add(Item(name=name))
            with Session(engine) as session:
                found = session.scalars(select(Item.name).where(Item.name.startswith(f"{number}."))).all()
            written.append(name)
            if len(found) != turn + 1:
                missed.append((name, found))

    with regions.cluster.apply_delay(0.003):
        threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert missed == []
    assert len(written) == 40
