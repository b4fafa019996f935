"""An application whose functions run where its data is written. Tests import it here, and nodes serve it elsewhere."""

from __future__ import annotations

import enum
import os
import time
from pathlib import Path

import peewee
import psycopg2
from playhouse.db_url import connect
from playhouse.pool import PooledPostgresqlDatabase

import fly_orm


class Item(peewee.Model):
    name = peewee.TextField(unique=True)
    price = peewee.DecimalField(default=0)


class Sale(peewee.Model):
    item = peewee.ForeignKeyField(Item, backref="sales")
    amount = peewee.IntegerField(default=1)


MODELS = (Item, Sale)


def serve_here(variable="SHOP_URL"):
    """The database of a node, bound to the models; None in a process that is none."""
    if variable not in os.environ:
        return None
    database = fly_orm.wrap(connect(os.environ[variable]))
    if variable == "SHOP_URL":
        database.bind(MODELS)
    return database


db = serve_here()
other_db = serve_here("OTHER_URL")
#: One that is never initialised, which must not hurt the others.
archive = fly_orm.wrap(PooledPostgresqlDatabase(None)) if db else None


@fly_orm.register_type
class Size(enum.Enum):
    SMALL = 1
    LARGE = 2


@fly_orm.register_type
class SoldOut(Exception):
    def __init__(self, item, left):
        super().__init__(f"{item}: only {left} left")
        self.item, self.left = item, left


class Unregistered(Exception):
    pass


@fly_orm.on_primary
def stock(names, price=0):
    """Create items one by one, and return the last."""
    return [Item.create(name=name, price=price) for name in names][-1]


@fly_orm.on_primary
def stock_all(*names):
    with Item._meta.database.atomic():
        for name in names:
            Item.create(name=name)
    return len(names)


@fly_orm.on_primary
def count():
    return Item.select().count()


@fly_orm.on_primary
def count_once_it_is_back(path):
    """Say that it has begun, in a file, and count as soon as the server accepts connections."""
    Path(path).touch()
    while True:
        try:
            return Item.select().count()
        except peewee.OperationalError:
            time.sleep(0.01)


@fly_orm.on_primary
def where():
    return os.getpid(), fly_orm.my_region(), fly_orm.is_primary()


@fly_orm.remote
def region():
    return fly_orm.my_region()


@fly_orm.remote
def stock_from_there(name):
    """Where this region has no primary, its own node of the primary region does it."""
    Item.create(name=name)
    return fly_orm.my_region()


@fly_orm.remote
def stock_by_call(name):
    """One call inside another."""
    stock([name])
    return fly_orm.my_region()


@fly_orm.on_primary
def give_back(*values, **named):
    return values, named


@fly_orm.on_primary
def sell(item, left):
    """Commit something, and raise."""
    Item.create(name=item)
    raise SoldOut(item, left)


@fly_orm.on_primary
def fail(kind, *args):
    raise {"value": ValueError, "unregistered": Unregistered, "exit": SystemExit}[kind](*args)


@fly_orm.on_primary
def duplicate(name):
    Item.create(name=name)
    Item.create(name=name)


@fly_orm.on_primary
def fetch(name):
    return Item.get(Item.name == name)


@fly_orm.on_primary
def call_outward():
    """Raise, from the inside, what would say of this call that it had no effect."""
    Item.create(name="outward")
    raise fly_orm.NotDelivered("of something else")


@fly_orm.on_primary
def cannot_come_back(name):
    Item.create(name=name)
    return lambda: None


@fly_orm.on_primary
def too_much(name, size):
    Item.create(name=name)
    return b"x" * size


@fly_orm.on_primary
def leave_open(name):
    """Begin a transaction, and forget it."""
    database = Item._meta.database
    database.begin()
    Item.create(name=name)


@fly_orm.on_primary
def sql(*statements):
    """The rows of the last statement."""
    database = Item._meta.database
    for statement in statements:
        cursor = database.execute_sql(statement)
    return cursor.fetchall() if cursor.description else None


@fly_orm.on_primary(timeout=20)
def note_and_wait(path):
    """Note that it runs, and wait until there is a file of that name with ``.go`` at its end."""
    Item.create(name="before")
    Path(path).touch()
    while not Path(f"{path}.go").exists():
        time.sleep(0.01)
    Item.create(name="after")


@fly_orm.on_primary(timeout=20)
def note_and_sleep(path, seconds):
    """Note that it runs, commit, and sleep on the primary."""
    with Path(path).open("a") as file:
        file.write(f"{os.getpid()}\n")
    Item.create(name=f"before {seconds}")
    sql.local(f"SELECT pg_sleep({seconds})")
    Item.create(name=f"after {seconds}")


@fly_orm.on_primary(timeout=1)
def go_on_and_on(path):
    """Execute short statements until that is refused, and note what happened."""
    try:
        for number in range(10_000):
            Item.create(name=f"short {number}")
            time.sleep(0.01)
    except (peewee.OperationalError, psycopg2.OperationalError) as error:  # peewee 4.3 does not translate all
        Path(path).write_text(str(error))
        raise


@fly_orm.on_primary
def write_in_both(name):
    Item.create(name=name)
    other_db.execute_sql("INSERT INTO other (name) VALUES (%s)", (name,))


@fly_orm.on_primary
def leave_modes(autocommit, readonly):
    connection = Item._meta.database.connection()
    connection.set_session(autocommit=autocommit, readonly=readonly)
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    connection.commit()


@fly_orm.on_primary
def leave_peewee_confused():
    database = Item._meta.database
    database.transaction().__enter__()
    database.execute_sql("COMMIT")


@fly_orm.on_primary
def write_large_object():
    connection = Item._meta.database.connection()
    connection.autocommit = False
    connection.lobject(0, "wb").write(b"large")
    connection.commit()


@fly_orm.on_primary(timeout=1)
def read_slowly(path):
    """Fetch, from a server-side cursor, rows that each take their time."""
    database = Item._meta.database
    database.connection().autocommit = False
    with database.connection().cursor(name="slow") as cursor:
        cursor.itersize = 1
        cursor.execute("SELECT pg_sleep(0.1) FROM generate_series(1, 100)")
        try:
            for number, _ in enumerate(cursor):
                Path(path).write_text(str(number))
        except Exception as error:
            Path(path).write_text(f"stopped: {error}")
            raise


class Till:
    def __init__(self, takings):
        self.takings = takings


fly_orm.register_type(Till, encode=lambda till: till.takings, decode=Till)


class Keeper(peewee.Model):
    name = peewee.TextField()

    @fly_orm.on_primary
    def greet(self, other):
        return f"{self.name} greets {other} in {fly_orm.my_region()}"
