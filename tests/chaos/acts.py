"""What a session does, one operation after another, at random."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import fly_orm

from .app import PonyShop, look_there, write_there, write_there_with_pony
from .notes import Diary, Note

MOST_ROWS = 3


class Visit:
    """A session at one of the shops, about one key."""

    def __init__(self, diary: Diary, shop: Any, key: int, dice: random.Random) -> None:
        self.diary = diary
        self.shop = shop
        self.key = key
        self.dice = dice

    def act(self) -> Exception | None:
        """Do one thing; returns the error that its last operation raised, if it did."""
        does_sql = not isinstance(self.shop, PonyShop)
        act = self.dice.choice(ACTS if does_sql else PONY_ACTS)
        try:
            act(self)
        except Exception as error:
            if error is not self.diary.error:
                raise
        return self.diary.error

    @contextmanager
    def operation(self, kind: str, *, rows: int = 0) -> Iterator[Note]:
        with self.diary.operation(kind, orm=self.shop.name, key=self.key, rows=rows) as note:
            with note.connecting():
                self.shop.connect()
            yield note

    def some_rows(self) -> int:
        return self.dice.randrange(1, MOST_ROWS + 1)

    def insert(self) -> None:
        with self.operation("insert", rows=1) as note, note.call("INSERT"):
            self.shop.insert(note.op, self.key)

    def insert_and_read(self) -> None:
        self.insert()
        self.read()

    def insert_many(self) -> None:
        rows = self.some_rows()
        with self.operation("insert many", rows=rows) as note, note.call("INSERT"):
            self.shop.insert_many(note.op, self.key, rows)

    def script(self) -> None:
        rows = self.some_rows()
        with self.operation("several statements", rows=rows) as note, note.call("INSERT; INSERT"):
            self.shop.script(note.op, self.key, rows)

    def copy(self) -> None:
        rows = self.some_rows()
        with self.operation("COPY", rows=rows) as note, note.call("COPY"):
            self.shop.copy(note.op, self.key, rows)

    def transact(self) -> None:
        rows = self.some_rows()
        with self.operation("transaction", rows=rows) as note:
            self.shop.transact(note, self.key, rows, undo=self.dice.randrange(5) == 0)

    def put_off(self) -> None:
        with fly_orm.wait_for("read"):
            self.insert()
            self.read()

    def call(self) -> None:
        function, rows = self.dice.choice([write_there, write_there_with_pony]), self.some_rows()
        with self.operation("function", rows=rows) as note, note.call("call"), note.reading(primary=True) as shown:
            shown.update(function(note.op, self.key, rows))

    def call_to_read(self) -> None:
        with self.operation("function that reads") as note, note.call("call"), note.reading(primary=True) as shown:
            shown.update(look_there(self.key))

    def read(self) -> None:
        self._read("read", self.shop.rows)

    def read_on_the_primary(self) -> None:
        with fly_orm.primary():
            self._read("read on the primary", self.shop.rows)

    def read_a_snapshot(self) -> None:
        self._read("read-only transaction", self.shop.snapshot)

    def look(self, op: str) -> None:
        """Look what became of a write."""
        with (
            self.diary.operation("look", orm=self.shop.name, key=self.key, looks_for=op) as note,
            fly_orm.primary(),
            note.call("SELECT"),
            note.reading() as shown,
        ):
            shown.update(self.shop.rows(self.key))

    def _read(self, kind: str, rows: Callable[[int], Any]) -> None:
        with self.operation(kind) as note, note.call("SELECT"), note.reading() as shown:
            shown.update(rows(self.key))


Act = Callable[[Visit], None]
PONY_ACTS: list[Act] = [
    *[Visit.transact] * 4, *[Visit.read] * 3, Visit.call, Visit.call_to_read, Visit.read_on_the_primary,
]  # fmt: skip
ACTS: list[Act] = [
    *[Visit.insert] * 2, *[Visit.insert_and_read] * 2, *[Visit.transact] * 3, *[Visit.read] * 3, *[Visit.call] * 2,
    Visit.insert_many, Visit.script, Visit.copy, Visit.put_off, Visit.call_to_read, Visit.read_on_the_primary,
    Visit.read_a_snapshot,
]  # fmt: skip
