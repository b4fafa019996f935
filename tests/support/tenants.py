"""An application of several tenants, in peewee and in Pony: each tenant has a schema, a role or rows of its own."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import peewee
from pony import orm

TENANTS = ("ann", "bob", "cid", "dot")
#: How tenants are kept apart.
KINDS = ("schema", "role", "setting", "function")
#: How a tenant of a database that all share says which one it is.
ENTERS = {"setting": "SELECT set_config('app.tenant', {}, false)", "function": "SELECT enter({})"}
#: What a tenant's rows are marked with by the server, for each kind.
_MARKS = {
    "schema": "current_schema()",
    "role": "substring(current_user FROM '[a-z]+$')",
    "setting": "current_setting('app.tenant')",
    "function": "current_setting('app.tenant')",
}
_TABLE = "(id serial PRIMARY KEY, tenant text DEFAULT {mark}, said text, owner int, n int)"
_SECURED = """
    CREATE TABLE note {table};
    ALTER TABLE note ENABLE ROW LEVEL SECURITY; ALTER TABLE note FORCE ROW LEVEL SECURITY;
    CREATE POLICY own ON note USING (tenant = {mark});
    GRANT ALL ON note, note_id_seq TO PUBLIC;
    CREATE FUNCTION enter(tenant text) RETURNS void LANGUAGE plpgsql AS
        $$BEGIN PERFORM set_config('app.tenant', tenant, false); END$$"""


def setup(kind: str) -> str:
    """The SQL that makes the tables."""
    table = _TABLE.format(mark=_MARKS[kind])
    if kind != "schema":
        return _SECURED.format(table=table, mark=_MARKS[kind])
    return "; ".join(f"CREATE SCHEMA {tenant}; CREATE TABLE {tenant}.note {table}" for tenant in TENANTS)


class PeeweeTenants:
    """What the tenants do, with peewee. ``databases`` has one for each tenant, or the same one for all."""

    def __init__(self, databases: dict[str, Any], kind: str) -> None:
        self._databases, self._kind = databases, kind
        self._notes = {tenant: _peewee_note(database) for tenant, database in databases.items()}

    @contextmanager
    def _using(self, tenant: str) -> Iterator[Any]:
        database = self._databases[tenant]
        with database.connection_context():
            if self._kind in ENTERS:
                database.execute_sql(ENTERS[self._kind].format("%s"), (tenant,))
            yield self._notes[tenant]

    def insert(self, tenant: str, owner: int, n: int) -> Any:
        with self._using(tenant) as note:
            return [row.tenant for row in note.insert(said=tenant, owner=owner, n=n).returning(note.tenant)]

    def update(self, tenant: str, owner: int, n: int) -> Any:
        with self._using(tenant) as note:
            return note.update(n=note.n + n).where(note.owner == owner).execute()

    def delete(self, tenant: str, owner: int, n: int) -> Any:
        with self._using(tenant) as note:
            return note.delete().where(note.owner == owner, peewee.fn.mod(note.n, 3) == n % 3).execute()

    def read(self, tenant: str, owner: int, n: int) -> Any:
        with self._using(tenant) as note:
            strangers = note.select().where(note.tenant != note.said).count()
            mine = note.select(note.tenant, note.n).where(note.owner == owner).order_by(note.n, note.tenant)
            return strangers, list(mine.tuples())

    def several(self, tenant: str, owner: int, n: int) -> Any:
        with self._using(tenant) as note, self._databases[tenant].atomic() as transaction:
            note.insert(said=tenant, owner=owner, n=n).execute()
            changed = note.update(n=note.n + 1).where(note.owner == owner).execute()
            if n % 2:
                transaction.rollback()
            return changed


class PonyTenants:
    """The same with Pony."""

    def __init__(self, databases: dict[str, Any], kind: str) -> None:
        self._kind = kind
        self._databases = databases
        for database in set(databases.values()):
            _define_pony_note(database)

    @contextmanager
    def _using(self, tenant: str) -> Iterator[Any]:
        with orm.db_session:
            if self._kind in ENTERS:
                self._databases[tenant].execute(ENTERS[self._kind].format("$tenant"), {"tenant": tenant})
            yield self._databases[tenant].Note

    def insert(self, tenant: str, owner: int, n: int) -> Any:
        with self._using(tenant) as note:
            made = note(said=tenant, owner=owner, n=n)
            orm.flush()
            made.load()
            return made.tenant

    def update(self, tenant: str, owner: int, n: int) -> Any:
        with self._using(tenant) as note:
            found = note.select(lambda note: note.owner == owner)[:]
            for each in found:
                each.n += n
            return len(found)

    def delete(self, tenant: str, owner: int, n: int) -> Any:
        with self._using(tenant) as note:
            return note.select(lambda note: note.owner == owner and note.n % 3 == n % 3).delete(bulk=True)

    def read(self, tenant: str, owner: int, n: int) -> Any:
        with self._using(tenant) as note:
            strangers = orm.count(each for each in note if each.tenant != each.said)
            return strangers, sorted((each.tenant, each.n) for each in note.select(lambda note: note.owner == owner))

    def several(self, tenant: str, owner: int, n: int) -> Any:
        with self._using(tenant) as note:
            note(said=tenant, owner=owner, n=n)
            found = note.select(lambda note: note.owner == owner)[:]
            for each in found:
                each.n += 1
            if n % 2:
                orm.rollback()
            return len(found)


def _peewee_note(database_: Any) -> Any:
    class Note(peewee.Model):
        tenant = peewee.TextField()
        said = peewee.TextField()
        owner = peewee.IntegerField()
        n = peewee.IntegerField()

        class Meta:
            database = database_

    return Note


def _define_pony_note(database: Any) -> None:
    class Note(database.Entity):  # type: ignore[misc]
        tenant = orm.Optional(str, nullable=True, sql_default="DEFAULT")
        said = orm.Required(str)
        owner = orm.Required(int)
        n = orm.Required(int)

    database.generate_mapping(check_tables=False)


def work(app: Any, owner: int, steps: int) -> list[Any]:
    """What one of the application's threads sees: the same whatever the others do meanwhile."""
    choose = random.Random(owner)
    seen = []
    for n in range(steps):
        tenant = choose.choice(TENANTS)
        action: Callable[..., Any] = getattr(
            app, choose.choice(["insert", "insert", "update", "delete", "read", "read", "several"])
        )
        seen.append((action.__name__, tenant, action(tenant, owner, n)))
    return seen
