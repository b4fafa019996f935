"""What is installed from wheels, in an environment outside the tree, works; and what does not work says why."""

from __future__ import annotations

import json
from contextlib import contextmanager

import pytest

from tests.support.environments import SOURCES, Environment, build, wheel
from tests.support.nats_server import nats_server
from tests.support.nodes import node_process, url
from tests.support.over import TRANSPORTS
from tests.support.two_regions import SECRET

# An environment takes a busy machine minutes to make.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

APP = """
import os
from peewee import Model, TextField
from playhouse.db_url import connect
import fly_orm

db = fly_orm.wrap(connect(os.environ["APP_URL"]))

class Note(Model):
    text = TextField()
    class Meta:
        database = db
"""

VISIT = """
import json, sys
import fly_orm
from app import Note, db

db.create_tables([Note])
Note.create(text="hello")
write = fly_orm.why()
note = Note.get(Note.text == "hello")
files = [module.__file__ for name, module in sys.modules.items() if name.startswith("fly_orm")]
print(json.dumps([note.text, write.route.name, fly_orm.why().route.name, "Pyro5" in sys.modules, files]))
"""

VISIT_WITHIN = """
import os
from dataclasses import replace
import peewee
from playhouse.db_url import connect
import fly_orm
from fly_orm.settings import Settings
from fly_orm.topology import Topology

lax = Settings.from_environment()
syd = replace(lax, topology=Topology(region="syd", primary_region="syd"))
with fly_orm.serve(fly_orm.wrap(connect(os.environ["SYD_URL"]), settings=syd), settings=syd):
    import visit
"""


@contextmanager
def over_nats():
    with nats_server() as server:
        yield {"FLY_ORM_LISTEN": "nats:shop.syd", "NATS_URL": server.url}


@contextmanager
def loopback():
    yield {"FLY_ORM_LISTEN": "127.0.0.1:0"}


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """An environment with the project and its plug-ins."""
    wheels = build(tmp_path_factory.mktemp("sources"))
    assert len(wheels) == len(SOURCES)
    return Environment(tmp_path_factory.mktemp("installed"), wheels)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "visit.py").write_text(VISIT)
    (tmp_path / "visit_within.py").write_text(VISIT_WITHIN)
    return tmp_path


def check(visit, environment, transport):
    """The visitor wrote on the primary and read on the replica, with nothing but what is installed."""
    assert visit.returncode == 0, visit.stderr
    text, write, read, pyro5, files = json.loads(visit.stdout)
    assert (text, write, read) == ("hello", "PRIMARY", "LOCAL")
    assert pyro5 is (transport == "pyro5")
    assert all(file.startswith(str(environment.folder)) for file in files)


def in_lax(cluster, database, node):
    """The variables of an application in lax that knows this node in syd."""
    return {
        "APP_URL": url(cluster.replica, database),
        "PRIMARY_REGION": "syd",
        "FLY_REGION": "lax",
        "FLY_ORM_NODES": f"syd={node.address()}",
        "FLY_ORM_SECRET": SECRET,
    }


@pytest.mark.parametrize("transport", sorted(set(TRANSPORTS) - {"inprocess"}))
def test_a_write_is_read_back_over_the_transport_that_the_environment_selects(
    cluster, database, installed, folder, transport
):
    with {"nats": over_nats}.get(transport, loopback)() as variables:
        variables["FLY_ORM_TRANSPORT"] = transport
        syd = {**variables, "APP_URL": url(cluster.primary, database)}
        with node_process("app:db", folder=folder, python=installed.python, **syd) as node:
            lax = {**variables, **in_lax(cluster, database, node)}
            check(installed.run("visit.py", folder=folder, **lax), installed, transport)


SETTINGS = """
import os
from fly_orm_django import database

DATABASES = {"default": database(os.environ["APP_URL"])}
INSTALLED_APPS = ["fly_orm_django", "notes"]
"""

MODELS = """
from django.db import models

class Note(models.Model):
    text = models.TextField()
"""

VISIT_DJANGO = """
import django
django.setup()
import json, sys
import fly_orm
from django.db import connection
from notes.models import Note

with connection.schema_editor() as editor:
    editor.create_model(Note)
Note.objects.create(text="hello")
write = fly_orm.why()
note = Note.objects.get()
files = [module.__file__ for name, module in sys.modules.items() if name.startswith("fly_orm")]
print(json.dumps([note.text, write.route.name, fly_orm.why().route.name, "Pyro5" in sys.modules, files]))
"""


@pytest.fixture
def project(folder):
    """The same application as a project of Django."""
    (folder / "notes").mkdir()
    files = {"notes/__init__": "", "notes/models": MODELS, "project_settings": SETTINGS, "visit_django": VISIT_DJANGO}
    for name, code in files.items():
        (folder / f"{name}.py").write_text(code)
    return {"DJANGO_SETTINGS_MODULE": "project_settings", "PYTHONPATH": str(folder)}


def test_a_project_of_django_is_served_and_reads_its_write(cluster, database, installed, folder, project):
    here = {"FLY_ORM_LISTEN": "127.0.0.1:0", "APP_URL": url(cluster.primary, database), **project}
    with node_process("fly_orm_django.databases:default", folder=folder, python=installed.python, **here) as node:
        lax = {**project, **in_lax(cluster, database, node)}
        check(installed.run("visit_django.py", folder=folder, **lax), installed, "pyro5")


def test_a_project_of_django_does_not_start_where_psycopg_3_is_installed(installed, folder, project, tmp_path_factory):
    both = Environment(tmp_path_factory.mktemp("psycopg3"), ["psycopg[binary] >=3.1.12,<4"], under=installed)
    refused = both.run("-m", "django", "check", folder=folder, APP_URL="postgresql:///nobody-connects", **project)
    assert refused.returncode == 1
    assert "fly_orm_django needs psycopg2" in refused.stderr
    assert "pip uninstall psycopg" in refused.stderr


def test_a_write_is_read_back_within_one_process(cluster, database, installed, folder):
    variables = {
        "FLY_ORM_TRANSPORT": "inprocess",
        "FLY_ORM_LISTEN": "syd",
        "FLY_ORM_NODES": "syd=syd",
        "PRIMARY_REGION": "syd",
        "FLY_REGION": "lax",
        "APP_URL": url(cluster.replica, database),
        "SYD_URL": url(cluster.primary, database),
    }
    check(installed.run("visit_within.py", folder=folder, **variables), installed, "inprocess")


def test_without_pytest_the_testing_package_has_all_but_the_contract(installed, folder):
    code = "from fly_orm.testing import Cluster, Wan; import sys; assert 'pytest' not in sys.modules"
    assert installed.run("-c", code, folder=folder).returncode == 0
    refused = installed.run("-c", "from fly_orm.testing import TransportContract", folder=folder)
    assert "TransportContract needs pytest: pip install 'pytest>=" in refused.stderr


def rows(listing):
    """What the list of transports says, by name and distribution."""
    heading, *lines = listing.stdout.splitlines()
    assert heading.split() == ["NAME", "DISTRIBUTION", "VERSION", "OBJECT", "STATUS"]
    found = [line.split(None, 4) for line in lines]
    return {(name, distribution): (version, target, status) for name, distribution, version, target, status in found}


def test_the_list_has_every_transport_of_this_tree(installed, folder):
    listing = installed.run("-m", "fly_orm", "transports", folder=folder, FLY_ORM_TRANSPORT="pigeon")
    assert (listing.returncode, listing.stderr) == (0, "")
    found = rows(listing)
    assert [name for name, _ in found] == TRANSPORTS
    assert found["pigeon", "fly_orm_pigeon"] == ("0.1.0", "fly_orm_pigeon:PigeonTransport", "ok, selected")
    assert found["pyro5", "fly_orm"] == ("0.1.0", "fly_orm_transports.pyro5:Pyro5Transport", "ok")


#: What is wrong with each, by the name of the transport.
BROKEN = {
    "absent": "cannot be loaded: ModuleNotFoundError: No module named 'broken_absent'",
    "raises": "cannot be loaded: RuntimeError: not on a Tuesday",
    "nothing": "cannot be loaded: AttributeError",
    "number": "is an object of class int, but must be a class or a function",
    "dict": "makes a dict, which lacks connect, serve, is_local",
    "picky": "cannot be made: TypeError",
    "twice": "provided twice, by broken_one 1.0 (broken_one:Transport) and broken_two 1.0 (broken_two:Transport)",
    "pyro5": "provided twice, by",
}
RAISING = "raise RuntimeError('not on a Tuesday')\n"
WORKING = "from fly_orm_transports.inprocess import InProcessTransport as Transport\n"


@pytest.fixture(scope="module")
def broken(installed, tmp_path_factory):
    """An environment with all that :func:`installed` has, and distributions that are broken or clash."""
    folder = tmp_path_factory.mktemp("broken_wheels")
    values = "number = 1\nclass Picky:\n    def __init__(self, option, another): pass\n"
    lines = ["nothing = broken_values:nothing", "number = broken_values:number", "picky = broken_values:Picky"]
    wheels = [
        wheel(folder, "broken-absent", "absent = broken_absent:Transport"),
        wheel(folder, "broken-raises", "raises = broken_raises:Any", broken_raises=RAISING),
        wheel(folder, "broken-values", "\n".join([*lines, "dict = builtins:dict"]), broken_values=values),
        wheel(folder, "broken-one", "twice = broken_one:Transport", broken_one=WORKING),
        wheel(folder, "broken-two", "twice = broken_two:Transport", broken_two=WORKING),
        wheel(folder, "broken-pyro5", "pyro5 = broken_pyro5:Transport", broken_pyro5=WORKING),
    ]
    return Environment(tmp_path_factory.mktemp("broken"), wheels, "--no-index", under=installed)


def test_the_list_says_why_transports_fail_and_goes_on(broken, folder):
    listing = broken.run("-m", "fly_orm", "transports", folder=folder)
    assert (listing.returncode, listing.stderr) == (1, "")
    found = rows(listing)
    for (name, _), (_, _, status) in found.items():
        assert status.startswith(BROKEN.get(name, "ok")), (name, status)
    assert set(BROKEN) < {name for name, _ in found}
    assert found["pyro5", "fly_orm"][2] == found["pyro5", "broken_pyro5"][2]
    assert found["pyro5", "fly_orm"][2].endswith("uninstall one of them, selected")
    assert found["twice", "broken_two"][:2] == ("1.0", "broken_two:Transport")
    assert found["pigeon", "fly_orm_pigeon"][2] == "ok"


@pytest.mark.parametrize("name", BROKEN)
def test_a_node_whose_transport_fails_says_why_and_does_not_start(broken, folder, name):
    variables = {"FLY_ORM_TRANSPORT": name, "APP_URL": "postgresql:///nobody-connects-there"}
    started = broken.run("-m", "fly_orm", "serve", "app:db", folder=folder, **variables)
    assert (started.returncode, started.stdout) == (2, "")
    [line] = started.stderr.splitlines()
    assert line.startswith(f"fly-orm: fly_orm.transports: {name!r} ")
    assert BROKEN[name] in line


ENGINE = """
import os
from sqlalchemy import create_engine

engine = create_engine(os.environ["APP_URL"], plugins=["fly_orm"])
"""
VISIT_ENGINE = """
import json, sys
import fly_orm
from app_of_sqlalchemy import engine
from sqlalchemy import text

with engine.begin() as connection:
    connection.execute(text("CREATE TABLE note (text text)"))
    connection.execute(text("INSERT INTO note VALUES ('hello')"))
write = fly_orm.why()
with engine.connect() as connection:
    note = connection.execute(text("SELECT text FROM note")).scalar()
files = [module.__file__ for name, module in sys.modules.items() if name.startswith("fly_orm")]
print(json.dumps([note, write.route.name, fly_orm.why().route.name, "Pyro5" in sys.modules, files]))
"""


def test_an_engine_of_sqlalchemy_is_wrapped_by_the_name_of_the_plug_in(cluster, database, installed, folder):
    (folder / "app_of_sqlalchemy.py").write_text(ENGINE)
    (folder / "visit_engine.py").write_text(VISIT_ENGINE)
    here = {"FLY_ORM_LISTEN": "127.0.0.1:0", "APP_URL": url(cluster.primary, database)}
    with node_process("app_of_sqlalchemy:engine", folder=folder, python=installed.python, **here) as node:
        lax = {
            "APP_URL": url(cluster.replica, database),
            "PRIMARY_REGION": "syd",
            "FLY_REGION": "lax",
            "FLY_ORM_NODES": f"syd={node.address()}",
            "FLY_ORM_SECRET": SECRET,
        }
        check(installed.run("visit_engine.py", folder=folder, **lax), installed, "pyro5")
