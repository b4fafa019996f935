"""manage.py serves and checks a project, and says what is wrong with its settings."""

import signal
import subprocess
import sys
from contextlib import ExitStack

import pytest
from django.conf import settings as django_settings
from django.core import checks
from django.core.management import CommandError, call_command
from django.db import connection, connections
from django.test import override_settings
from django_regions import address, in_lax, leading, project_node, said
from django_shop.models import Author
from fly_orm_django import databases

import fly_orm
from tests.support.two_regions import Regions, settings


@pytest.mark.slow
def test_it_checks_the_set_up_of_the_project(cluster, tables):
    with project_node(cluster, tables) as node:
        lax = {"FLY_REGION": "lax", "FLY_ORM_NODES": f"syd={node.address()}"}
        status, out, err = said("fly_orm_check", "--json", SHOP_DATABASE=address(cluster.replica, tables), **lax)
        assert status == 0, out + err
        assert tables in out
        node.process.send_signal(signal.SIGTERM)
        assert node.process.wait(30) == 0
        status, out, _ = said("fly_orm_check", "default", SHOP_DATABASE=address(cluster.replica, tables), **lax)
    assert status == 2
    assert "Errors" in out


@pytest.mark.slow
def test_a_node_may_have_several_workers(cluster, tables):
    with project_node(cluster, tables, "--workers", "2") as node, ExitStack() as undo:
        both = Regions(cluster=cluster, name=tables, undo=undo)
        with in_lax(both, node.address()):
            Author.objects.create(name="ann")
            assert Author.objects.get().name == "ann"


def test_the_application_itself_can_be_the_node(regions):
    here = settings("syd")
    with leading("default", regions.cluster.primary, regions.name):
        fly_orm.configure(here)
        with fly_orm.serve(connection, listen="127.0.0.1:0", settings=here) as serving:
            assert serving.databases == [regions.name]
            lax = regions.lax(options={"settings": settings("lax", serving.address)})
            lax.execute_sql("INSERT INTO django_shop_author (name) VALUES ('ann')")
            assert Author.objects.get().name == "ann"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["nothing"], "settings.DATABASES has no 'nothing'"), (["files"], "ENGINE.*sqlite3.*set it to 'fly_orm_django'")],
)
def test_what_cannot_be_served_is_refused(arguments, message):
    with pytest.raises(CommandError, match=message):
        call_command("fly_orm_serve", *arguments)


def test_a_project_without_regions_is_djangos_own(cluster, tables):
    with leading("default", cluster.primary, tables):
        assert checks.run_checks(app_configs=None) == []
        Author.objects.create(name="ann")
        assert fly_orm.why() is None
        assert Author.objects.get().name == "ann"


def ids():
    return {message.id: message for message in checks.run_checks()}


def test_django_says_what_is_wrong_with_the_settings(regions):
    assert ids() == {}
    with in_lax(regions, regions.wan.address, ATOMIC_REQUESTS=True):
        assert "round trip" in ids()["fly_orm_django.W003"].msg
        connections.settings["default"]["FLY_ORM"] = {"defer_transactions": True}
        assert ids() == {}
    with override_settings(MIDDLEWARE=[]):
        assert "another region" in ids()["fly_orm_django.W002"].msg
    apps = [name for name in django_settings.INSTALLED_APPS if name != "fly_orm_django"]
    with override_settings(INSTALLED_APPS=apps):
        assert "INSTALLED_APPS" in ids()["fly_orm_django.W001"].msg


def test_a_secret_that_is_missing_is_an_error():
    environment = {"FLY_REGION": "lax", "FLY_ORM_NODES": "syd=192.0.2.1:7654", "FLY_ORM_SECRET": ""}
    status, _, err = said("check", **environment)
    assert status == 1
    assert "fly_orm_django.E001" in err
    assert "FLY_ORM_SECRET" in err


def test_the_settings_that_the_command_line_lacks_are_named(tmp_path):
    command = [sys.executable, "-m", "fly_orm", "serve", "fly_orm_django.databases:default"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env={"PATH": ""})
    assert done.returncode == 2
    assert done.stderr.startswith(
        "fly-orm: fly_orm_django.databases needs the settings of the project; set DJANGO_SETTINGS"
    )


def test_the_databases_are_found_by_alias():
    assert databases.default is connections["default"]
    with pytest.raises(AttributeError, match="has no 'nothing'"):
        databases.nothing  # noqa: B018
    assert databases.maintenance.default.get_connection_params()["dbname"] == "postgres"
