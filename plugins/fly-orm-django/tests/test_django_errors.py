"""What fails between the regions is an error of fly_orm's, of Django's and of psycopg2's at once."""

import gc
import itertools
from contextlib import suppress
from functools import partial

import psycopg2
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import close_old_connections, connection, connections, transaction, utils
from django_regions import alone, forget, in_lax, leading
from django_shop.models import Author
from fly_orm_django.routing import RoutingMixin

import fly_orm
from fly_orm.testing.contract.interrupting import interrupted_at
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("impatient")


@pytest.fixture
def impatient(monkeypatch):
    """Let requests fail at once when nodes that have accepted requests accept none any more."""
    monkeypatch.setattr("fly_orm.forwarding.interruption.PATIENCE", 0.0)


def stored():
    return sorted(Author.objects.using("primary").values_list("name", flat=True))


def test_what_cannot_be_wrapped_is_told_what_can(regions):
    for wrong in connections, Author, Author.objects:
        with pytest.raises(fly_orm.ConfigurationError, match=r"takes django\.db\.connection, or one of"):
            fly_orm.wrap(wrong)
    assert fly_orm.wrap(connection) is connection


def test_no_node_can_be_reached(regions):
    assert Author.objects.count() == 0
    kept = connection.connection
    regions.wan.cut()
    with pytest.raises(fly_orm.NotDelivered) as caught:
        Author.objects.create(name="ann")
    assert isinstance(caught.value, utils.OperationalError)
    assert isinstance(caught.value, psycopg2.OperationalError)
    close_old_connections()
    assert Author.objects.count() == 0
    assert fly_orm.why().route is fly_orm.Route.LOCAL
    assert connection.connection is kept
    regions.wan.heal()
    Author.objects.create(name="ann")
    assert stored() == ["ann"]


def test_a_lost_reply_is_an_unknown_outcome(regions):
    Author.objects.create(name="ann")
    regions.wan.cut_before_reply()
    with pytest.raises(fly_orm.OutcomeUnknown) as caught:
        Author.objects.create(name="bob")
    assert isinstance(caught.value, utils.OperationalError)
    regions.wan.heal()
    assert Author.objects.count() == 2
    assert stored() == ["ann", "bob"]


def test_a_lost_transaction_stores_nothing_and_the_next_one_works(regions):
    hooks = []
    with pytest.raises(fly_orm.TransactionLost) as caught, transaction.atomic():
        transaction.on_commit(lambda: hooks.append("ran"))
        Author.objects.create(name="ann")
        regions.wan.cut()
        regions.wan.heal()
        Author.objects.create(name="bob")
    assert isinstance(caught.value, utils.OperationalError)
    assert not connection.in_atomic_block
    with transaction.atomic():
        Author.objects.create(name="cat")
    assert stored() == ["cat"]
    assert hooks == []


def test_a_commit_whose_reply_is_lost_is_settled_and_its_hooks_run(regions):
    hooks = []
    with transaction.atomic():
        transaction.on_commit(lambda: hooks.append(Author.objects.count()))
        Author.objects.create(name="ann")
        regions.wan.cut_before_reply()
    assert hooks == [1]
    assert stored() == ["ann"]


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_hooks_of_an_interrupted_commit_do_not_run_after_the_next_one(regions):
    """As a time limit interrupts it, which is no error of the database."""
    ran = []
    for moment in itertools.count(1, 9):
        block = transaction.atomic()
        block.__enter__()
        Author.objects.create(name=f"author {moment}")
        transaction.on_commit(partial(ran.append, f"author {moment}"))
        interrupted = True
        with suppress(utils.ProgrammingError):  # of atomic(), if the COMMIT has not begun
            interrupted = interrupted_at(moment, partial(block.__exit__, None, None, None))
        if connection.in_atomic_block or not connection.autocommit:
            forget("default")
        with transaction.atomic():
            pass
        if not interrupted:
            break
    gc.collect()  # an interrupt can leave a socket to the garbage collector, which warns
    assert ran
    assert set(ran) <= set(stored())


@pytest.mark.parametrize("defers", [False, True])
def test_a_connection_is_not_usable_in_a_transaction_that_has_failed(regions, defers):
    with in_lax(regions, regions.wan.address, FLY_ORM={"defer_transactions": defers}):
        with transaction.atomic():
            sid = transaction.savepoint()
            assert connection.is_usable()
            with pytest.raises(utils.DataError):
                connection.cursor().execute("SELECT 1 / 0")
            assert not connection.is_usable()
            transaction.savepoint_rollback(sid)
            assert connection.is_usable()
        assert connection.is_usable()


def test_a_connection_whose_replica_is_down_serves_writes_and_is_replaced_when_it_is_back(regions):
    assert Author.objects.count() == 0
    kept = connection.connection
    regions.cluster.replica.stop()
    with fly_orm.wait_for("none"):
        Author.objects.create(name="ann")
    connection.errors_occurred = True
    close_old_connections()
    assert connection.connection is kept
    regions.cluster.replica.start()
    until(lambda: close_old_connections() or connection.connection is None)
    regions.cluster.wait_for_replica()
    with fly_orm.session():
        assert Author.objects.get().name == "ann"
        assert fly_orm.why().route is fly_orm.Route.LOCAL


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"on_lag": "raise"}, fly_orm.ConfigurationError, r"drop the on_commit\(\) hooks"),
        ({"wiat": "read"}, ImproperlyConfigured, r"\['default'\]\['FLY_ORM'\] has no option 'wiat'.*wait"),
        ({"settings": None}, ImproperlyConfigured, "has no option 'settings'"),
        ({"wait": "sometimes"}, fly_orm.ConfigurationError, "wait"),
    ],
)
def test_wrong_options_are_refused(regions, options, error, message):
    with in_lax(regions, regions.wan.address), leading("default", regions.cluster.replica, regions.name):
        connections.settings["default"]["FLY_ORM"] = options
        with pytest.raises(error, match=message):
            connections["default"].shared  # noqa: B018


def test_a_backend_that_connects_by_itself_is_refused(regions):
    backend = type(connections["default"])
    opened = []

    class ByItself(backend):
        def get_new_connection(self, conn_params):
            opened.append(psycopg2.connect(**conn_params | {"connection_factory": None}))
            return opened[-1]

    class Below(backend.__mro__[2]):
        get_new_connection = ByItself.get_new_connection

    class Routed(RoutingMixin, Below):
        pass

    with alone():
        for made, opener in ((ByItself, r"get_new_connection\(\) of ByItself"), (Routed, "what connects")):
            own = made(dict(connection.settings_dict), "own")
            for _ in range(2):
                with pytest.raises(fly_orm.NotSupported, match=f"^{opener} .*opens connections by itself") as raised:
                    own.ensure_connection()
                assert isinstance(raised.value, utils.NotSupportedError)
                assert own.connection is None
            assert all(each.closed for each in opened)
            own.close()


def test_psycopg_3_is_refused(monkeypatch):
    monkeypatch.setattr("fly_orm_django.routing.is_psycopg3", True)
    with pytest.raises(ImproperlyConfigured, match="pip uninstall psycopg"):
        type(connections["default"])(connections.settings["default"], "default")
