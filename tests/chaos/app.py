"""The application: rows that are only ever added, through each ORM. Nodes serve it, and clients use it."""

from __future__ import annotations

import io
import os
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import peewee
from playhouse.db_url import connect, parse
from pony import orm

import fly_orm

from .history import Rows

#: The database.
NAME = "chaos"
#: The variable that says where a process finds the server of its region.
URL = "CHAOS_URL"
#: The variable that says, if it is there, that clients record their writes in a ledger.
LEDGER = "CHAOS_LEDGER"
#: Whether a ledger records writes: the name of the database, or False.
RECORDS = NAME if LEDGER in os.environ else False
#: Whether the process has a single database object, as one must whose recorded functions may run in itself: the ledger
#: tells databases apart by their names, and would take another object for that of the function.
SINGLE = bool(RECORDS) and os.environ["FLY_ORM_TRANSPORT"] == "pyro5"
TABLE = """
    CREATE TABLE entry (
        id serial PRIMARY KEY, op text NOT NULL, part int NOT NULL, key int NOT NULL,
        written timestamptz NOT NULL DEFAULT clock_timestamp()
    );
    CREATE INDEX ON entry (key); CREATE INDEX ON entry (op);
"""
ALL_ROWS = "SELECT op, count(*) FROM entry GROUP BY op"
#: For how many seconds each write has been there.
AGES = "SELECT op, extract(epoch FROM clock_timestamp() - max(written))::float FROM entry GROUP BY op"
_ROWS = "SELECT op, count(*) FROM entry WHERE key = %s GROUP BY op"
_INSERT = "INSERT INTO entry (op, part, key) VALUES (%s, %s, %s)"


def _entry_of(database: Any) -> Any:
    """A model of the one table there is, for one database."""

    class Entry(peewee.Model):
        op = peewee.TextField()
        part = peewee.IntegerField()
        key = peewee.IntegerField()

    Entry.bind(database)
    return Entry


class PeeweeShop:
    """The rows through a peewee database."""

    def __init__(self, database: Any) -> None:
        self.db = database
        self.name = type(database).__name__
        self._entry = _entry_of(database)

    def connect(self) -> None:
        """Open a connection, or have a pool lend one."""
        self.db.connect(reuse_if_open=True)

    def leave(self) -> None:
        """Close the connection, or give it back to its pool."""
        self.db.close()

    def close(self) -> None:
        """Close all that is open, once no thread uses it."""
        if hasattr(self.db, "close_all"):
            self.db.close_all()
        self.db._fly_orm.close()

    def insert(self, op: str, key: int) -> None:
        self._entry.create(op=op, part=0, key=key)

    def insert_many(self, op: str, key: int, rows: int) -> None:
        self._entry.insert_many([{"op": op, "part": part, "key": key} for part in range(rows)]).execute()

    def script(self, op: str, key: int, rows: int) -> None:
        """Several statements in one string, which Postgres runs in one transaction."""
        self.db.execute_sql("; ".join([_INSERT] * rows), [value for part in range(rows) for value in (op, part, key)])

    def copy(self, op: str, key: int, rows: int) -> None:
        lines = "".join(f"{op}\t{part}\t{key}\n" for part in range(rows))
        self.db.cursor().copy_expert("COPY entry (op, part, key) FROM STDIN", io.StringIO(lines))

    def transact(self, note: Any, key: int, rows: int, *, undo: bool) -> None:
        """Insert in a transaction that also reads, and perhaps roll it back."""
        with self.db.atomic() as transaction:
            for part in range(rows):
                with note.statement("INSERT"):
                    self.db.execute_sql(_INSERT, (note.op, part, key))
            with note.statement("SELECT"), note.reading() as shown:
                shown.update(self.rows(key))
            if undo:
                with note.statement("ROLLBACK"):
                    transaction.rollback()
            note.ends(commits=not undo)

    def rows(self, key: int) -> Rows:
        return dict(self.db.execute_sql(_ROWS, (key,)).fetchall())

    def block(self) -> AbstractContextManager[object]:
        """A block to read in, whose end is a call of its own."""
        return nullcontext()

    def snapshot(self) -> AbstractContextManager[object]:
        """The same, all of whose reads see one snapshot."""
        return self.db.atomic("REPEATABLE READ READ ONLY")  # type: ignore[no-any-return]


class PonyShop:
    """The rows through a Pony database."""

    name = "Pony"

    def __init__(self, url: str) -> None:
        self.db = orm.Database()
        self.db.bind("postgres", **parse(url))

        class Entry(self.db.Entity):  # type: ignore[misc, name-defined]
            _table_ = "entry"
            op = orm.Required(str)
            part = orm.Required(int)
            key = orm.Required(int)

        self.entry = Entry
        _wrap(self.db)
        self.db.generate_mapping(check_tables=False)

    def connect(self) -> None:
        """Let Pony connect when it needs to, and reconnect."""

    def leave(self) -> None:
        orm.rollback()
        self.db.disconnect()

    def close(self) -> None:
        self.db._fly_orm.close()

    def transact(self, note: Any, key: int, rows: int, *, undo: bool) -> None:
        """Read on the replica, insert on the primary, and perhaps roll back."""
        with orm.db_session:
            with note.statement("SELECT"), note.reading() as shown:
                shown.update(self.rows(key))
            for part in range(rows):
                self.entry(op=note.op, part=part, key=key)
                with note.statement("INSERT"):
                    orm.flush()
            note.ends(commits=not undo)
            orm.rollback() if undo else orm.commit()

    @orm.db_session
    def rows(self, key: int) -> Rows:
        return dict(orm.select((e.op, orm.count(e)) for e in self.entry if e.key == key))

    def block(self) -> AbstractContextManager[object]:
        return orm.db_session()  # type: ignore[no-any-return]

    snapshot = block


def _wrap(database: Any) -> Any:
    return fly_orm.wrap(database, exactly_once=bool(RECORDS))


url = os.environ.get(URL)
#: What a node serves.
db: Any = _wrap(connect(url)) if url else None
pony: Any = PonyShop(url) if url and not SINGLE else None


@fly_orm.on_primary(exactly_once=RECORDS)
def write_there(op: str, key: int, rows: int) -> Rows:
    """Insert in a transaction through peewee, and return what the key has now."""
    with db.atomic():
        for part in range(rows):
            db.execute_sql(_INSERT, (op, part, key))
    return dict(db.execute_sql(_ROWS, (key,)).fetchall())


@fly_orm.on_primary
def write_there_with_pony(op: str, key: int, rows: int) -> Rows:
    """The same through Pony, with a database object that is not the one that the node serves."""
    with orm.db_session:
        for part in range(rows):
            pony.entry(op=op, part=part, key=key)
    return pony.rows(key)  # type: ignore[no-any-return]


@fly_orm.on_primary
def look_there(key: int) -> Rows:
    """Only read."""
    return dict(db.execute_sql(_ROWS, (key,)).fetchall())


def shops() -> list[Any]:
    """One for each way in which a client process uses the database."""
    assert url is not None
    if SINGLE:
        return [PeeweeShop(db)]
    pooled = _wrap(connect(url.replace("://", "+pool://", 1), max_connections=100))
    return [PeeweeShop(db), PeeweeShop(pooled), pony]
