"""An application on psycopg2. Tests import it in lax, and a node of another process serves it in syd."""

import os

from fly_orm_psycopg2 import ExampleFactory

import fly_orm


def factory_here():
    """The application's own factory, by the environment; None in a process that only imports the functions."""
    return fly_orm.wrap(ExampleFactory(os.environ["SHOP_URL"])) if "SHOP_URL" in os.environ else None


factory = factory_here()


@fly_orm.on_primary
def stock(*names):
    """Create items in one transaction, and return their numbers."""
    with factory.connect() as connection, connection.cursor() as cursor:
        numbers = []
        for name in names:
            cursor.execute("INSERT INTO item (name) VALUES (%s) RETURNING id", (name,))
            numbers += cursor.fetchone()
        return numbers


left = []


@fly_orm.on_primary
def leave_open(name):
    """Begin a transaction, and go on referring to its connection."""
    connection = factory.connect()
    left.append(connection)
    connection.autocommit = False
    connection.cursor().execute("INSERT INTO item (name) VALUES (%s)", (name,))


@fly_orm.on_primary
def left_open():
    """How many connections were left, and how many of them are open."""
    return len(left), sum(not connection.closed for connection in left)
