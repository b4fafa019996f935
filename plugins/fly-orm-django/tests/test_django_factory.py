"""Django's own backend is routed by a connection factory among its OPTIONS."""

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, transaction
from django_regions import forget, leading
from django_shop.models import Author
from fly_orm_django import checks, routed

import fly_orm
from tests.support.two_regions import trips

OWN = "django.db.backends.postgresql"


@pytest.fixture
def led(regions):
    """Leads the alias, anew, to Django's own backend."""

    def lead(**options):
        factory = fly_orm.connection_factory(settings=regions.lax_settings(), **options)
        given = {"ENGINE": OWN, "OPTIONS": {"connection_factory": factory}}
        return leading("default", regions.cluster.replica, regions.name, **given)

    return lead


@pytest.mark.parametrize(("defers", "reading"), [(False, 2), (True, 0)])
def test_reads_are_local_and_writes_are_read_back(regions, led, defers, reading):
    with led(defers_transactions=defers):
        Author.objects.create(name="ann")
        assert Author.objects.get().name == "ann"
        assert fly_orm.why().route is fly_orm.Route.LOCAL

        def read():
            with transaction.atomic():
                Author.objects.get()

        assert trips(regions, read) == reading
        assert Author.objects.using("primary").count() == 1
        router = routed.router_of(connections["default"])
        assert router.name == regions.name
        assert checks.check() == []
        router.close()


def test_a_tenant_of_a_function_is_gone_when_the_transaction_is_rolled_back(regions, led):
    regions.query(
        "CREATE FUNCTION set_tenant(text) RETURNS void LANGUAGE plpgsql AS "
        "$$BEGIN PERFORM set_config('app.tenant', $1, false); END$$"
    )
    regions.cluster.wait_for_replica()
    tenant = "SELECT nullif(current_setting('app.tenant', true), '')"

    def row(sql):
        with connections["default"].cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchone()[0]

    with led(defers_transactions=True):
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            row("SELECT set_tenant('a')")
            assert row(tenant) == "a"
            raise ZeroDivisionError
        assert row(tenant) is None
        with transaction.atomic():
            with pytest.raises(ZeroDivisionError), transaction.atomic():
                row("SELECT set_tenant('b')")
                raise ZeroDivisionError
            assert row(tenant) is None
            Author.objects.create(name="ann")
            assert row(tenant) is None
        routed.router_of(connections["default"]).close()


def test_the_backend_and_a_factory_exclude_each_other(regions, led):
    with led():
        forget("default")
        connections.settings["default"]["ENGINE"] = "fly_orm_django"
        with pytest.raises(ImproperlyConfigured, match="remove the latter"):
            Author.objects.count()
        connections.settings["default"]["OPTIONS"] = {}
