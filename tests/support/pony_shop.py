"""A Pony application whose functions run where its data is written: imported by tests, served by nodes."""

from __future__ import annotations

import os
import signal

from pony import orm

import fly_orm


def define(database):
    class Item(database.Entity):
        _table_ = "item"
        name = orm.Required(str, unique=True)
        left = orm.Required(int, default=0)
        sales = orm.Set("Sale")

    class Sale(database.Entity):
        _table_ = "sale"
        item = orm.Required(Item)
        number = orm.Required(int)
        orm.PrimaryKey(item, number)


db = orm.Database()
if "PONY_URL" in os.environ:
    fly_orm.wrap(db)
    define(db)
    db.bind("postgres", os.environ["PONY_URL"])
    db.generate_mapping()


@fly_orm.on_primary
@orm.db_session
def stock(*names):
    return [db.Item(name=name) for name in names]


@orm.db_session
@fly_orm.on_primary
def stock_in_a_session(*names):
    return [db.Item(name=name).name for name in names]


@fly_orm.on_primary
def stock_without_any(name):
    return db.Item(name=name).name


@fly_orm.on_primary
@orm.db_session
def stock_slowly(name):
    db.Item(name=name)
    orm.flush()
    db.select("pg_sleep(0.3)")


@fly_orm.on_primary
@orm.db_session
def stock_after_a_crash(name):
    """Stock an item after another one, and a crash of the server in between."""
    db.Item(name=f"before {name}")
    orm.flush()
    os.kill(db.get_connection().info.backend_pid, signal.SIGKILL)
    db.Item(name=name)
    orm.flush()


@fly_orm.on_primary
@orm.db_session
def rename(item, name):
    item.name = name
    return item


@fly_orm.on_primary
@orm.db_session
def sell(item, number):
    return db.Sale(item=item, number=number)


@fly_orm.on_primary
@orm.db_session
def sold(sale):
    return sale.item.name, sale.number


@fly_orm.on_primary
def stock_without_session(item, name):
    """The db_session is the one that was opened for the argument."""
    return db.Item(name=f"{name} of {item.name}")


@fly_orm.on_primary
@orm.db_session
def fail(name):
    db.Item(name=name)
    return db.Item[1_000_000]


@fly_orm.on_primary
@orm.db_session
def commit_and_fail(name):
    db.Item(name=name)
    orm.commit()
    db.Item(name=f"{name} again")
    raise ValueError(name)


@fly_orm.on_primary
@orm.db_session
def count():
    return orm.count(item for item in db.Item)


_left = []


@fly_orm.on_primary
def leave_open(name):
    """Suspend a generator in the middle of a db_session, and forget it."""

    def stock_one_by_one():
        with orm.db_session:
            yield db.Item(name=name)

    generator = stock_one_by_one()
    next(generator)
    _left.append(generator)


@fly_orm.on_primary
def forget():
    while _left:
        _left.pop().close()


#: Seconds that callers wait for a function that takes longer.
PATIENCE = 10


@fly_orm.on_primary(timeout=PATIENCE)
@orm.db_session
def wait_long():
    db.execute("SELECT pg_sleep(60)")
