"""Items in a table, and tokens about them."""

from __future__ import annotations

from fly_orm.protocol.encoding import encode
from fly_orm.tokens.signing import sign
from tests.support.two_regions import SECRETS


def insert(db, name):
    db.execute_sql("INSERT INTO item (name) VALUES (%s)", (name,))


def names(db):
    return [name for (name,) in db.execute_sql("SELECT name FROM item ORDER BY id").fetchall()]


def made(database, position):
    """A token that was never given."""
    return sign(encode([{database: position}]), SECRETS)
