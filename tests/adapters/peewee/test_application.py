"""A peewee application in lax does what it does on the primary; nothing of it knows that it is routed."""

# ruff: noqa: N803, N806  # models are classes, wherever they are defined

import contextlib
from collections.abc import Iterator
from typing import Any

import peewee
import pytest
from peewee import CharField, ForeignKeyField, IntegerField, Model, fn
from playhouse import migrate, reflection

from tests.support.side_by_side import SideBySide, seen, seen_error

pytestmark = pytest.mark.over_every_transport(quick=True)


def models(database: Any) -> tuple[Any, Any]:
    class User(Model):  # type: ignore[misc]
        name = CharField(unique=True)
        age = IntegerField(null=True, constraints=[peewee.Check("age < 200")])

        class Meta:
            pass

    class Post(Model):  # type: ignore[misc]
        user = ForeignKeyField(User, backref="posts", on_delete="CASCADE")
        text = CharField()

    for model in (User, Post):
        model._meta.set_database(database)
    return User, Post


def names(User: Any) -> list[str]:
    return [user.name for user in User.select().order_by(User.id)]


# The same application on both databases


def create_and_read(db: Any, User: Any, Post: Any) -> Iterator[Any]:
    ann = User.create(name="ann", age=30)
    yield ann.id, ann.name, User.get_by_id(ann.id).name, User.get(User.name == "ann").age
    ann.age = 31
    yield ann.save(), User.get_by_id(1).age, ann.is_dirty(), ann.delete_instance(), User.select().count()
    yield User.get_or_none(User.name == "ann"), User.get_or_create(name="bob", defaults={"age": 2})[1]
    yield User.get_or_create(name="bob")[1]
    with pytest.raises(User.DoesNotExist):
        User.get_by_id(99)


def insert_many(db: Any, User: Any, Post: Any) -> Iterator[Any]:
    yield list(User.insert_many([{"name": "a", "age": 1}, {"name": "b", "age": 2}]).execute())
    yield User.insert_many([("c", 3)], fields=[User.name, User.age]).as_rowcount().execute()
    yield next(iter(User.insert_many([("d", 4)], [User.name, User.age]).returning(User).execute())).name
    yield User.bulk_create([User(name=f"u{i}", age=i) for i in range(25)], batch_size=10)
    users = list(User.select())
    for user in users:
        user.age = user.id
    yield User.bulk_update(users, [User.age], batch_size=7), sorted(user.age for user in User.select())
    yield User.insert_from(User.select(User.name.concat("!"), User.age), [User.name, User.age]).execute() is not None
    yield User.select().count(), User.replace is not None


def upserts(db: Any, User: Any, Post: Any) -> Iterator[Any]:
    User.create(name="ann", age=1)
    yield User.insert(name="ann", age=5).on_conflict_ignore().execute()
    yield User.insert(name="ann", age=5).on_conflict(conflict_target=[User.name], preserve=[User.age]).execute()
    yield User.get().age, User.update(age=User.age + 1).where(User.name == "ann").execute()
    yield list(User.update(age=9).returning(User.id, User.age).tuples().execute())
    yield User.delete().where(User.age > 100).execute(), list(User.delete().returning(User.name).dicts().execute())


def queries(db: Any, User: Any, Post: Any) -> Iterator[Any]:
    ann, bob = User.create(name="ann", age=1), User.create(name="bob")
    for text in ("one", "two"):
        Post.create(user=ann, text=text)
    yield [post.text for post in ann.posts.order_by(Post.id)], bob.posts.count()
    joined = User.select(User, fn.COUNT(Post.id).alias("n")).join(Post, peewee.JOIN.LEFT_OUTER).group_by(User)
    yield sorted((user.name, user.n) for user in joined)
    yield [user.name for user in peewee.prefetch(User.select().order_by(User.id), Post)]
    yield (
        list(User.select().tuples().order_by(User.id)),
        list(User.select().dicts().order_by(User.id)),
        User.select().exists(),
    )
    yield (
        list(User.select().namedtuples().order_by(User.id).limit(1)),
        [u.name for u in User.select().for_update().order_by(User.id)],
    )
    yield (
        db.execute_sql('SELECT name FROM "user" WHERE age = %s', (1,)).fetchall(),
        User.raw('SELECT * FROM "user" ORDER BY id').get().name,
    )
    cte = User.select(User.name).cte("c")
    yield cte.select_from(cte.c.name).order_by(cte.c.name).tuples()[:]
    yield (
        User.select(fn.MAX(User.id)).scalar(),
        [u.name for u in User.select().order_by(User.id).iterator()],
        len(User.select()),
    )


def errors(db: Any, User: Any, Post: Any) -> Iterator[Any]:
    User.create(name="ann")
    for call in (
        lambda: User.create(name="ann"),
        lambda: User.create(name=None),
        lambda: User.create(name="old", age=300),
        lambda: User.create(name="x" * 300),
        lambda: User.create(name="y", age=10**12),
        lambda: Post.create(user=99, text="x"),
        lambda: db.execute_sql("SELECT nope"),
        lambda: db.execute_sql("UPDATE nope SET a = 1"),
        lambda: User.select(fn.nope(1)).scalar(),
        lambda: db.execute_sql('SELECT 1/0 FROM "user" FOR UPDATE'),
    ):
        with pytest.raises(peewee.PeeweeException) as raised:
            call()
        yield seen_error(raised.value), seen_error(raised.value.__cause__ or ValueError("none"))


def transactions(db: Any, User: Any, Post: Any) -> Iterator[Any]:
    with db.atomic() as outer:
        User.create(name="kept")
        with contextlib.suppress(peewee.IntegrityError), db.atomic():
            User.create(name="undone")
            User.create(name="kept")
        with db.atomic() as inner:
            User.create(name="undone too")
            inner.rollback()
            User.create(name="after inner rollback")
        yield names(User), db.in_transaction(), db.transaction_depth()
        outer.commit()
        User.create(name="second part")
        with db.savepoint() as savepoint:
            User.create(name="gone")
            savepoint.rollback()
    yield names(User), db.in_transaction()
    with contextlib.suppress(ZeroDivisionError), db.atomic():
        User.create(name="never")
        1 / 0  # noqa: B018
    with db.transaction() as transaction:
        User.create(name="rolled back")
        transaction.rollback()
        User.create(name="then kept")
    yield names(User)
    with db.manual_commit():
        db.begin()
        User.create(name="manual")
        db.rollback()
        db.begin()
        User.create(name="manual kept")
        db.commit()
    yield names(User)
    with db.atomic("SERIALIZABLE"):
        yield db.execute_sql("SHOW transaction_isolation").fetchone()
    with contextlib.suppress(peewee.InternalError, peewee.ProgrammingError), db.atomic():
        with contextlib.suppress(peewee.IntegrityError):
            User.create(name="kept")
        User.create(name="in a failed transaction")
    yield names(User), db.in_transaction()

    @db.atomic()
    def decorated() -> int:
        User.create(name="decorated")
        with db:
            User.create(name="in with db")
        return int(User.select().count())

    with contextlib.suppress(peewee.OperationalError):
        yield decorated()
    yield names(User)


def callbacks(db: Any, User: Any, Post: Any) -> Iterator[Any]:
    if not hasattr(db, "after_commit"):
        pytest.skip("this peewee has no after_commit()")
    seen_names: list[Any] = []
    with db.atomic():
        User.create(name="a")
        db.after_commit(lambda: seen_names.append(names(User)))
    yield seen_names


def schema(db: Any, User: Any, Post: Any) -> Iterator[Any]:
    yield sorted(db.get_tables()), db.table_exists("user"), db.get_indexes("user"), db.get_columns("user")
    yield db.get_primary_keys("user"), db.get_foreign_keys("post"), db.get_views(), db.sequence_exists("user_id_seq")
    migrator = migrate.PostgresqlMigrator(db)
    migrate.migrate(
        migrator.add_column("user", "city", CharField(default="x")),
        migrator.rename_column("user", "age", "years"),
        migrator.add_index("user", ("city",), False),
        migrator.alter_column_type("user", "city", peewee.TextField()),
        migrator.drop_not_null("user", "city"),
    )
    yield db.get_columns("user"), len(db.get_indexes("user"))
    generated = reflection.Introspector.from_database(db).generate_models()
    yield sorted(generated), sorted(generated["user"]._meta.fields), generated["user"].create(name="g", city="c").id
    db.create_tables([User, Post], safe=True)
    db.drop_tables([Post])
    yield (
        db.table_exists("post"),
        Post.create_table(),
        User.truncate_table(restart_identity=True, cascade=True) is not None,
    )
    yield User.add_index(User.name) is None, db.get_tables()


APPLICATIONS = [create_and_read, insert_many, upserts, queries, errors, transactions, callbacks, schema]


@pytest.mark.parametrize("application", APPLICATIONS)
def test_is_the_same_in_lax(beside: SideBySide, application: Any) -> None:
    shown = []
    for make in (beside.regions.plain, beside.regions.lax):
        beside.reset("")
        database = make()
        User, Post = models(database)
        database.create_tables([User, Post])
        shown.append([seen(step) for step in application(database, User, Post)])
        database.close()
    without_names = [repr(part).replace("test_peewee", "") for part in shown]
    assert without_names[1] == without_names[0]
