"""What the caller does when the fault happens."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import fly_orm
from fly_orm.runtime.runtime import use_runtime
from tests.matrix import app
from tests.matrix.world import COMMITTING, INSERTING

_INSERT = "INSERT INTO item (name, padding) VALUES (%s, %s)"


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One call of the caller's, which stores a row of the given name."""

    title: str
    lock: int = INSERTING
    """What it waits for on the primary if that is held."""
    in_transaction: bool = False

    def prepare(self, db: Any, name: str) -> None:
        """What has succeeded before."""

    def run(self, db: Any, name: str, padding: str) -> None:
        """The call itself."""

    def finish(self, db: Any) -> None:
        """What the caller does after it has succeeded."""

    def mark(self, name: str) -> bytes:
        """What no message contains but that of the call."""
        return name.encode()


class Write(Operation):
    def run(self, db: Any, name: str, padding: str) -> None:
        db.execute_sql(_INSERT, (name, padding))


class Statement(Operation):
    def prepare(self, db: Any, name: str) -> None:
        db.begin()
        db.execute_sql(_INSERT, ("before", ""))

    def run(self, db: Any, name: str, padding: str) -> None:
        db.execute_sql(_INSERT, (name, padding))

    def finish(self, db: Any) -> None:
        db.commit()


class Commit(Operation):
    def prepare(self, db: Any, name: str) -> None:
        db.begin()
        db.execute_sql(_INSERT, (name, ""))

    def run(self, db: Any, name: str, padding: str) -> None:
        db.commit()

    def mark(self, name: str) -> bytes:
        return b"COMMIT"


class Function(Operation):
    def run(self, db: Any, name: str, padding: str) -> None:
        with use_runtime(db._fly_orm._options.runtime):
            once = db._fly_orm.exactly_once and db._fly_orm.name
            assert fly_orm.call(fly_orm.PRIMARY, app.store, name, padding, exactly_once=once) == name


class Copy(Operation):
    def run(self, db: Any, name: str, padding: str) -> None:
        with db.cursor() as cursor:
            cursor.copy_expert(
                f"COPY item (name, padding) FROM STDIN /* {name} */", io.StringIO(f"{name}\t{padding}\n")
            )


OPERATIONS = {
    "write": Write(title="A write in autocommit"),
    "statement": Statement(title="A statement in a transaction", in_transaction=True),
    "commit": Commit(title="COMMIT", lock=COMMITTING, in_transaction=True),
    "function": Function(title="A function (`@on_primary`)"),
    "copy": Copy(title="COPY … FROM"),
}
