"""Every kind of peewee database, and every way to reach it, can be wrapped, or says why not."""

import threading
from typing import Any

import flask
import peewee
import pytest
from peewee import CharField, DatabaseProxy, Model, PostgresqlDatabase
from playhouse import dataset, db_url, flask_utils, kv, pool, shortcuts, signals
from playhouse.postgres_ext import ArrayField, BinaryJSONField, HStoreField, PostgresqlExtDatabase, TSVectorField
from psycopg2 import extensions as ext

import fly_orm
from fly_orm import codec
from tests.support.one_item import Item, where, works
from tests.support.two_regions import TwoRegions


def test_a_model_bound_before_stays_bound(regions: TwoRegions, wrap: Any, on_replica: dict[str, Any]) -> None:
    database = PostgresqlDatabase(regions.name, **on_replica)
    bound = type("Bound", (Model,), {"name": CharField(), "Meta": type("Meta", (), {"database": database})})
    assert wrap(database) is database
    assert type(database) is PostgresqlDatabase
    database.create_tables([bound])
    bound.create(name="x")
    assert where() == "primary"
    assert bound.get().name == "x"
    assert where() == "local"


def test_wrapping_twice_is_wrapping_once(regions: TwoRegions, wrap: Any) -> None:
    database = regions.lax()
    adapter = type(database._adapter)
    assert wrap(database) is database
    assert type(database._adapter) is adapter
    works(database)


@pytest.mark.parametrize("region", ["syd", "lax"])
def test_an_error_of_connecting_is_the_orms_own_and_travels_as_itself(regions: TwoRegions, region: str) -> None:
    database = getattr(regions, region)(port=1)
    for connect in (database.connect, lambda: database.execute_sql("SELECT 1"), database.atomic().__enter__):
        with pytest.raises(peewee.OperationalError, match="connection to server") as raised:
            connect()
        seen, error = set[int](), raised.value
        while error is not None and id(error) not in seen:
            seen.add(id(error))
            error = error.__cause__  # type: ignore[assignment]
        assert error is None, "an error is its own cause"
        assert type(codec.decode_error(codec.encode_error(raised.value))) is peewee.OperationalError


def test_an_open_connection_is_closed_and_routed_when_opened_again(
    regions: TwoRegions, wrap: Any, on_replica: Any
) -> None:
    database = PostgresqlDatabase(regions.name, **on_replica)
    database.connect()
    works(wrap(database))


def test_wrapping_inside_a_transaction_is_refused(regions: TwoRegions, wrap: Any, on_replica: Any) -> None:
    database = PostgresqlDatabase(regions.name, **on_replica)
    with database.atomic(), pytest.raises(fly_orm.ConfigurationError, match="inside a transaction"):
        wrap(database)


@pytest.mark.parametrize("early", [True, False], ids=["before initialize", "after initialize"])
def test_a_proxy_can_be_wrapped(regions: TwoRegions, wrap: Any, on_replica: Any, early: bool) -> None:
    proxy = DatabaseProxy()
    database = PostgresqlDatabase(regions.name, **on_replica)
    for step in (lambda: wrap(proxy), lambda: proxy.initialize(database))[:: 1 if early else -1]:
        step()
    works(proxy)


def test_a_deferred_database_can_be_wrapped(regions: TwoRegions, wrap: Any, on_replica: Any) -> None:
    database = wrap(PostgresqlDatabase(None))
    database.init(regions.name, **on_replica)
    works(database)
    database.close()
    database.init(regions.name, **on_replica)
    works(database)


def test_a_database_can_be_given_as_dsn_or_url(regions: TwoRegions, wrap: Any, on_replica: Any) -> None:
    host, port = on_replica["host"].replace("/", "%2F"), on_replica["port"]
    works(wrap(PostgresqlDatabase(f"postgresql://postgres@{host}:{port}/{regions.name}")))
    works(wrap(db_url.connect(f"postgresql://postgres@/{regions.name}?host={on_replica['host']}&port={port}")))
    works(wrap(db_url.connect(f"postgresext+pool://postgres@/{regions.name}?host={on_replica['host']}&port={port}")))


def test_the_users_own_parameters_are_kept(regions: TwoRegions) -> None:
    class Mine(ext.connection):
        def greet(self) -> str:
            return "hello"

    database = regions.lax(
        connection_factory=Mine, isolation_level=ext.ISOLATION_LEVEL_REPEATABLE_READ, encoding="LATIN1"
    )
    works(database)
    assert database.connection().greet() == "hello"
    assert isinstance(database.connection(), Mine)
    assert database.connection().encoding == "ISO88591" or database.connection().encoding == "LATIN1"
    with database.atomic():
        assert database.execute_sql("SHOW transaction_isolation").fetchone() == ("repeatable read",)


def test_a_pooled_database_works_and_rolls_back_what_is_checked_in_open(regions: TwoRegions) -> None:
    database = regions.lax(pool.PooledPostgresqlDatabase, max_connections=2, stale_timeout=60)
    works(database)
    with Item.bind_ctx(database):
        database.connection().cursor().execute("BEGIN")
        Item.create(name="forgotten")
        database.close()
        database.connect()
        assert Item.get_or_none(Item.name == "forgotten") is None
        assert where() == "local"
        assert regions.query("SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'") == 0
    first = database.connection()
    database.close()
    database.connect()
    assert database.connection() is first


def test_a_pooled_connection_whose_server_went_away_is_replaced(regions: TwoRegions) -> None:
    database = regions.lax(pool.PooledPostgresqlDatabase)
    works(database)
    pid = database.connection().get_backend_pid()
    database.close()
    regions.cluster.replica.query("SELECT pg_terminate_backend(%s, 5000)", pid)
    works(database)


def test_threads_have_their_own_transactions(regions: TwoRegions) -> None:
    database = regions.lax()
    works(database)
    turn, errors = threading.Barrier(4), []

    def work(number: int) -> None:
        try:
            with database.connection_context(), database.atomic() as transaction:
                Item.create(name=f"thread {number}")
                assert Item.select().where(Item.name.startswith("thread")).count() == 1
                turn.wait()
                if number % 2:
                    transaction.rollback()
        except BaseException as error:
            errors.append(error)
            turn.abort()

    with Item.bind_ctx(database):
        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not errors
        assert sorted(item.name for item in Item.select().where(Item.name.startswith("thread"))) == [
            "thread 0",
            "thread 2",
        ]


def test_the_extensions_of_postgres_work(regions: TwoRegions) -> None:
    regions.query("CREATE EXTENSION hstore")
    regions.cluster.wait_for_replica()
    database = regions.lax(PostgresqlExtDatabase, register_hstore=True)

    class Rich(Model):  # type: ignore[misc]
        tags = ArrayField(CharField)
        data = BinaryJSONField()
        pairs = HStoreField()
        words = TSVectorField()

        class Meta:
            pass

    Rich._meta.set_database(database)
    database.create_tables([Rich])
    Rich.create(tags=["a", "b"], data={"k": [1, None]}, pairs={"x": "y"}, words=peewee.fn.to_tsvector("fat cats"))
    for context in (fly_orm.primary(), database.connection_context()):
        with context:
            rich = Rich.get(
                Rich.tags.contains("a"),
                Rich.data.contains({"k": [1]}),
                Rich.pairs.contains("x"),
                Rich.words.match("cat"),
            )
            assert (rich.tags, rich.data, rich.pairs) == (["a", "b"], {"k": [1, None]}, {"x": "y"})


def test_server_side_cursors_read_locally_and_in_a_transaction(regions: TwoRegions) -> None:
    database = regions.lax(PostgresqlExtDatabase, server_side_cursors=True)
    works(database)
    with Item.bind_ctx(database):
        Item.insert_many([{"name": str(number)} for number in range(250)]).execute()
        assert len(list(Item.select().iterator())) == 251
        assert where() == "local"
        with database.atomic():
            Item.create(name="in")
            assert len(list(Item.select().iterator())) == 252
            assert where() == "primary"


def test_flask_opens_and_closes_a_connection_for_each_request(regions: TwoRegions) -> None:
    app = flask.Flask("app")
    database = flask_utils.FlaskDB(app, database=regions.lax()).database
    works(database)
    database.close()

    @app.post("/<name>")
    def create(name: str) -> Any:
        with Item.bind_ctx(database):
            Item.create(name=name)
            return {"written": where(), "found": Item.get(Item.name == name).name, "read": where()}

    client = app.test_client()
    assert client.post("/ann").json == {"written": "primary", "found": "ann", "read": "local"}
    assert client.post("/ann").status_code == 500
    assert client.post("/bob").json["found"] == "bob"
    assert database.is_closed()


def test_signals_kv_and_dataset_work(regions: TwoRegions) -> None:
    database, saved = regions.lax(PostgresqlExtDatabase), []

    class Signalled(signals.Model):  # type: ignore[misc]
        name = CharField()

    Signalled._meta.set_database(database)
    database.create_tables([Signalled])
    signals.post_save.connect(lambda model, instance, created: saved.append((instance.name, where())), sender=Signalled)
    Signalled.create(name="x")
    assert saved == [("x", "primary")]
    store = kv.KeyValue(database=database, table_name="kv")
    store["a"], store["b"] = 1, [2]
    store.update(a=3)
    assert (store["a"], store.pop("b"), dict(store.items())) == (3, [2], {"a": 3})
    data = dataset.DataSet(database)
    data["people"].insert(name="ann", age=3)
    data["people"].update(name="ann", age=4, columns=["name"])
    assert data["people"].find_one(name="ann")["age"] == 4
    with data.transaction():
        data["people"].delete(name="ann")
    assert len(data["people"]) == 0
    assert isinstance(database, PostgresqlDatabase)


class Reconnecting(shortcuts.ReconnectMixin, PostgresqlDatabase):  # type: ignore[misc]
    reconnect_errors = (
        (peewee.OperationalError, "server closed the connection"),
        (peewee.OperationalError, "terminating connection"),
        (peewee.InterfaceError, "connection already closed"),
        (peewee.OperationalError, "lost"),
    )


@pytest.mark.usefixtures("no_spare_channels")
def test_a_write_of_unknown_outcome_is_not_repeated_by_reconnecting(regions: TwoRegions) -> None:
    database = regions.lax(Reconnecting)
    works(database)
    with Item.bind_ctx(database):
        regions.wan.cut_before_reply()
        with pytest.raises(fly_orm.OutcomeUnknown):
            Item.create(name="once")
        assert Item.select().where(Item.name.startswith("once")).count() <= 1
        assert regions.query("SELECT count(*) FROM item WHERE name = 'once'") == 1


def test_reconnecting_follows_a_replica_that_was_restarted(regions: TwoRegions) -> None:
    database = regions.lax(Reconnecting)
    works(database)
    regions.cluster.replica.restart()
    works(database)
