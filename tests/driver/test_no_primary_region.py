"""PRIMARY_REGION is not set although the server is a replica: what it refuses says so, whatever refuses it."""

from __future__ import annotations

import peewee
import psycopg2
import pytest
from playhouse.pool import PooledPostgresqlDatabase
from pony import orm
from psycopg2.extras import DictCursor

import fly_orm
from fly_orm.settings import Settings
from fly_orm.topology import Topology
from tests.support import shop
from tests.support.two_regions import named

NO_REGIONS = Settings(topology=Topology(region="local", primary_region=None))
REFUSED = r"(?s)read-only transaction.*PRIMARY_REGION is not set.*is a replica.*Set PRIMARY_REGION"


@pytest.fixture
def shared(cluster, database):
    """A database with the tables of the test application, on both servers."""
    plain = peewee.PostgresqlDatabase(**named(cluster.primary, database))
    with plain.bind_ctx(shop.MODELS), plain.connection_context():
        plain.create_tables(shop.MODELS)
    cluster.wait_for_replica()
    return database


@pytest.fixture(params=[peewee.PostgresqlDatabase, PooledPostgresqlDatabase])
def db(request, cluster, shared):
    made = fly_orm.wrap(request.param(**named(cluster.replica, shared)), settings=NO_REGIONS)
    with made.bind_ctx(shop.MODELS):
        yield made
    made.close()


@pytest.fixture
def item(cluster, shared, request):
    """Pony's entity of the same table, in a database bound before or after wrap()."""
    made = orm.Database()
    if request.param == "wrapped first":
        fly_orm.wrap(made, settings=NO_REGIONS)
    made.bind("postgres", **named(cluster.replica, shared))
    fly_orm.wrap(made, settings=NO_REGIONS)
    attributes = {"name": orm.Required(str), "price": orm.Required(int), "_table_": "item"}
    entity = made.Entity.__class__("Item", (made.Entity,), attributes)
    made.generate_mapping()
    yield entity
    orm.rollback()
    made.disconnect()


class TestPeewee:
    def test_in_autocommit_mode(self, db):
        with pytest.raises(peewee.InternalError, match=REFUSED):
            shop.Item.create(name="a")

    def test_in_the_drivers_own_error(self, db):
        with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction, match=REFUSED) as caught:
            db.connection().cursor().execute("INSERT INTO item (name, price) VALUES ('a', 0)")
        assert caught.value.diag.message_primary == "cannot execute INSERT in a read-only transaction"

    def test_in_a_transaction(self, db):
        with pytest.raises(peewee.InternalError, match=REFUSED), db.atomic():
            assert shop.Item.select().count() == 0
            shop.Item.create(name="a")

    def test_in_a_read_that_writes(self, db):
        with pytest.raises(peewee.InternalError, match=REFUSED):
            db.execute_sql("SELECT nextval('item_id_seq')")

    def test_in_a_function(self, db):
        with pytest.raises(peewee.InternalError, match=REFUSED):
            shop.stock(["a"])

    def test_after_another_init(self, db):
        db.close()
        db.init(db.database, **db.connect_params)
        with pytest.raises(peewee.InternalError, match=REFUSED):
            shop.Item.create(name="a")


class TestPony:
    @pytest.mark.parametrize("item", ["wrapped first", "bound first"], indirect=True)
    def test_at_the_end_of_a_session(self, item):
        with pytest.raises(orm.core.UnexpectedError, match=REFUSED), orm.db_session:
            item(name="a", price=1)

    @pytest.mark.parametrize("item", ["wrapped first"], indirect=True)
    def test_on_another_connection(self, item):
        item._database_.disconnect()
        with pytest.raises(orm.core.UnexpectedError, match=REFUSED), orm.db_session:
            item(name="a", price=1)


def test_a_cursor_of_the_applications_own_class_stays_one(cluster, shared):
    db = peewee.PostgresqlDatabase(**named(cluster.replica, shared), cursor_factory=DictCursor)
    fly_orm.wrap(db, settings=NO_REGIONS)
    cursor = db.execute_sql("SELECT 1 AS n")
    assert isinstance(cursor, DictCursor)
    assert cursor.fetchone()["n"] == 1
    with pytest.raises(peewee.InternalError, match=REFUSED):
        db.execute_sql("CREATE TABLE t ()")
    db.close()
