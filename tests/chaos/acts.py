"""What a session does, one operation after another, at random."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import fly_orm

from .advised import until_done
from .app import RECORDS, SINGLE, PonyShop, look_there, write_there, write_there_with_pony
from .keyed import until_known
from .notes import Diary, Note

MOST_ROWS = 3
#: A ledger records what the database object does that its nodes serve.
FUNCTIONS = [write_there, write_there_with_pony] if not RECORDS else [write_there] if SINGLE else []


class Visit:
    """A session at one of the shops, about one key."""

    def __init__(self, diary: Diary, shop: Any, key: int, dice: random.Random, over: threading.Event) -> None:
        """``over`` is set when the process is to end."""
        self.diary = diary
        self.shop = shop
        self.key = key
        self.dice = dice
        self.over = over

    def act(self, act: Act | None = None) -> Exception | None:
        """Do one thing, at random unless it is given; returns the error that its last operation raised, if it did."""
        choice = self.dice.choice(PONY_ACTS if isinstance(self.shop, PonyShop) else ACTS)
        try:
            (act or choice)(self)
        except Exception as error:
            if error is not self.diary.error:
                raise
        return self.diary.error

    @contextmanager
    def operation(self, kind: str, *, rows: int = 0, recorded: bool = False) -> Iterator[Note]:
        facts = {"orm": self.shop.name, "key": self.key, "rows": rows, "recorded": recorded}
        with self.diary.operation(kind, **facts) as note:
            self._connect(note)
            yield note

    def some_rows(self) -> int:
        return self.dice.randrange(1, MOST_ROWS + 1)

    def write(self, kind: str, what: str, rows: int, work: Callable[..., Any]) -> None:
        """Write outside of a transaction, in one call."""
        with self.operation(kind, rows=rows, recorded=bool(RECORDS)) as note:

            def attempt() -> None:
                with note.call(what):
                    work(note.op, self.key, rows)

            self.attempt(note, attempt)

    def attempt(self, note: Note, work: Callable[[], None]) -> None:
        """Do the work of an operation; repeat it if its outcome is unknown, and a ledger or a look makes that safe."""

        def connect_and_work() -> None:
            self._connect(note)
            work()

        if RECORDS:
            until_known(note, connect_and_work, self.shop, self.over)
        elif self.dice.randrange(2):
            until_done(note, connect_and_work, lambda: self._finds(note), self.shop.leave, self.over)
        else:
            work()

    def _connect(self, note: Note) -> None:
        with note.connecting():
            self.shop.connect()

    def _finds(self, note: Note) -> bool:
        """Whether an operation has written something, for the primary."""
        with note.call("connect"):
            self.shop.connect()
        with fly_orm.primary(), self.shop.block(), note.call("look"), note.reading() as shown:
            shown.update(self.shop.rows(self.key))
        return note.op in shown

    def insert(self) -> None:
        self.write("insert", "INSERT", 1, lambda op, key, _: self.shop.insert(op, key))

    def insert_and_read(self) -> None:
        self.insert()
        self.read()

    def insert_many(self) -> None:
        self.write("insert many", "INSERT", self.some_rows(), self.shop.insert_many)

    def script(self) -> None:
        self.write("several statements", "INSERT; INSERT", self.some_rows(), self.shop.script)

    def copy(self) -> None:
        self.write("COPY", "COPY", self.some_rows(), self.shop.copy)

    def transact(self) -> None:
        rows, undo = self.some_rows(), self.dice.randrange(5) == 0
        with self.operation("transaction", rows=rows, recorded=bool(RECORDS)) as note:
            self.attempt(note, lambda: self.shop.transact(note, self.key, rows, undo=undo))

    def put_off(self) -> None:
        with fly_orm.wait_for("read"):
            self.insert()
            self.read()

    def call(self) -> None:
        if not FUNCTIONS:
            return self.call_to_read()
        function, rows = self.dice.choice(FUNCTIONS), self.some_rows()
        with self.operation("function", rows=rows, recorded=bool(RECORDS)) as note:

            def attempt() -> None:
                with note.call("call"), note.reading(primary=True) as shown:
                    shown.update(function(note.op, self.key, rows))

            self.attempt(note, attempt)
        return None

    def call_to_read(self) -> None:
        with self.operation("function that reads") as note, note.call("call"), note.reading(primary=True) as shown:
            shown.update(look_there(self.key))

    def read(self) -> None:
        self._read("read", self.shop.block)

    def read_on_the_primary(self) -> None:
        with fly_orm.primary():
            self._read("read on the primary", self.shop.block)

    def read_a_snapshot(self) -> None:
        self._read("read-only transaction", self.shop.snapshot)

    def look(self, op: str) -> None:
        """Look what became of a write."""
        with (
            self.diary.operation("look", orm=self.shop.name, key=self.key, looks_for=op) as note,
            fly_orm.primary(),
            self.shop.block(),
            note.call("SELECT"),
            note.reading() as shown,
        ):
            shown.update(self.shop.rows(self.key))

    def _read(self, kind: str, block: Callable[[], AbstractContextManager[object]]) -> None:
        with self.operation(kind) as note, block():
            with note.call("SELECT"), note.reading() as shown:
                shown.update(self.shop.rows(self.key))
            note.ends(commits=True)


Act = Callable[[Visit], None]
PONY_ACTS: list[Act] = [
    *[Visit.transact] * 4, *[Visit.read] * 3, Visit.call, Visit.call_to_read, Visit.read_on_the_primary,
]  # fmt: skip
ACTS: list[Act] = [
    *[Visit.insert] * 2, *[Visit.insert_and_read] * 2, *[Visit.transact] * 3, *[Visit.read] * 3, *[Visit.call] * 2,
    Visit.insert_many, Visit.script, Visit.copy, Visit.put_off, Visit.call_to_read, Visit.read_on_the_primary,
    Visit.read_a_snapshot,
]  # fmt: skip
