"""An application on SQLAlchemy. Tests import it in lax, and a node of another process serves it in syd."""

from __future__ import annotations

import os

from sqlalchemy import create_engine, func, insert, select, text
from sqlalchemy.ext.mutable import MutableDict, MutableSet
from sqlalchemy.orm import Session, object_session, scoped_session, sessionmaker
from sqlalchemy_models import Item, Owner, item_table

import fly_orm

engine = create_engine(os.environ["SHOP_URL"], plugins=["fly_orm"]) if "SHOP_URL" in os.environ else None
registry = scoped_session(sessionmaker())


@fly_orm.on_primary
def stock(*names, owner=None):
    """Create items in one transaction, and return the last one."""
    with Session(engine, expire_on_commit=False) as session, session.begin():
        items = [Item(name=name) for name in names]
        if owner is not None:
            owner = session.merge(owner)
            owner.items += items
        session.add_all(items)
    return items[-1]


@fly_orm.on_primary
def add(item, number):
    """Change an object in the Session that it comes in."""
    item.n += number
    object_session(item).commit()
    return item


@fly_orm.on_primary
def rows():
    """Rows of every kind."""
    with Session(engine) as session:
        row = session.execute(select(Item.id, Item.name).order_by(Item.id)).first()
        mapping = session.execute(select(Item.id, Item.name).order_by(Item.id)).mappings().first()
        both = session.execute(select(Item, func.count()).group_by(Item.id).order_by(Item.id)).first()
        return row, mapping, both


@fly_orm.on_primary
def children(name):
    """What an object of the database has in its attributes."""
    with Session(engine) as session:
        session.add(owner := Owner(name=name, items=[Item(name="a"), Item(name="b")]))
        session.commit()
        return owner.items, MutableDict({"a": [1]}), MutableSet({1})


@fly_orm.on_primary
def not_read():
    return Session(engine).query(Item)


@fly_orm.on_primary
def rows_of_table(name):
    """Rows of a Table, whose columns have names of a class of SQLAlchemy's."""
    table = item_table
    with engine.begin() as connection:
        made = connection.execute(insert(table).values(name=name, n=0).returning(table.c.id, table.c.name)).one()
        chosen = connection.execute(select(table.c.name, func.count()).group_by(table.c.name)).one()
        mapping = connection.execute(select(table.c.name)).mappings().one()
    with Session(engine) as session:
        return made, chosen, mapping, session.execute(select(table)).one()._asdict(), table.name


@fly_orm.on_primary
def echo(value):
    return value


@fly_orm.on_primary
def changed(item):
    """Forget to commit."""
    item.n = 99
    return item


@fly_orm.on_primary
def uncommitted(name):
    session = Session(engine)
    session.add(item := Item(name=name))
    session.flush()
    return item


left = []


@fly_orm.on_primary
def leave_open(name):
    """Leave a Connection, and a registry's Session, in transactions."""
    connection = engine.connect()
    connection.execute(text("INSERT INTO item (name, n) VALUES (:name, 0)"), {"name": name})
    left.append(connection)
    registry.configure(bind=engine)
    registry.add(Item(name=f"{name} of the registry"))
    registry.flush()
    registry.add(Item(name=f"{name} of the registry, not flushed"))


@fly_orm.on_primary
def use_what_was_left(name):
    """Use the same registry, and return what its Session had, and how many connections are lent."""
    had = list(registry)
    lent = engine.pool.checkedout()
    registry.add(Item(name=name))
    registry.commit()
    registry.remove()
    return had, lent


@fly_orm.on_primary
def change_settings():
    with engine.begin() as connection:
        connection.execute(text("SET statement_timeout = '77s'"))


@fly_orm.on_primary
def setting():
    with engine.begin() as connection:
        return connection.execute(text("SHOW statement_timeout")).scalar()


@fly_orm.on_primary
def order(name, owner):
    """What a function does that is executed exactly once: several Sessions, one after another and in one another."""
    with Session(engine) as session, session.begin():
        session.add(Item(name=name))
        session.flush()
        with engine.begin() as connection:
            connection.execute(text("UPDATE item SET n = n + 1"))
        session.add(Owner(name=owner))
    with Session(engine) as session:
        session.add(Item(name=f"{name}, rolled back"))
        session.flush()
        session.rollback()
        with session.begin_nested():
            session.add(Item(name=f"{name}, nested"))
        session.commit()
    with engine.execution_options(logging_token="x").connect() as connection:
        return connection.execute(select(func.count()).select_from(Item)).scalar()


@fly_orm.on_primary
def overlapping():
    with Session(engine) as one, Session(engine) as two:
        one.add(Item(name="one"))
        one.flush()
        two.add(Item(name="two"))
        two.flush()
        one.commit()


@fly_orm.on_primary
def fail(name):
    stock.local(name)
    raise ZeroDivisionError
