"""Two releases of an application side by side, as during a deploy."""

from __future__ import annotations

import importlib
import sys

import pytest

import fly_orm
from fly_orm import NotDelivered, Refused
from fly_orm.topology import Node
from tests.support.nodes import node_process, url
from tests.support.two_regions import settings

APP = """
import enum, os
from playhouse.db_url import connect
import fly_orm

db = fly_orm.wrap(connect(os.environ["APP_URL"])) if "APP_URL" in os.environ else None

def note(text):
    db.execute_sql("INSERT INTO note (text) VALUES (%s)", (text,))
    return text
"""
OLD = """
@fly_orm.on_primary
def removed():
    return note("removed of old")

@fly_orm.on_primary
def changed(number):
    return note(f"changed of old {number}")
"""
NEW = """
@fly_orm.register_type
class Colour(enum.Enum):
    RED = 1

@fly_orm.on_primary
def added():
    return note("added of new")

@fly_orm.on_primary
def changed(number, colour=None):
    return note(f"changed of new {number}")

@fly_orm.on_primary
def removed():
    "In this release only so that a process of it can call what the other one has."
    return note("removed of new")

@fly_orm.on_primary
def returns_colour():
    note("colour")
    return Colour.RED
"""
OTHER_PROTOCOL = """
from fly_orm.protocol import handshake
handshake.PROTOCOL += 1
"""


@pytest.fixture
def deploy(cluster, database, tmp_path, monkeypatch):
    """Starts a node of a release, in its own folder; this process imports the module of another."""
    started = []
    undo = []

    def node(release, *texts):
        folder = tmp_path / f"node_{release}"
        folder.mkdir()
        (folder / "skewed.py").write_text("".join([APP, *texts]))
        block = node_process(
            "skewed:db", folder=folder, APP_URL=url(cluster.primary, database), FLY_ORM_RELEASE=release
        )
        started.append(block.__enter__())
        undo.append(block)
        return started[-1].address()

    def here(*texts, addresses, release="here"):
        folder = tmp_path / "here"
        folder.mkdir()
        (folder / "skewed.py").write_text("".join([APP, *texts]))
        monkeypatch.syspath_prepend(folder)
        monkeypatch.delitem(sys.modules, "skewed", raising=False)
        nodes = {"syd": tuple(Node(region="syd", address=address) for address in addresses)}
        fly_orm.configure(settings("lax", nodes=nodes, release=release))
        return importlib.import_module("skewed")

    with cluster.primary.connect(database) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE note (text text)")
    yield node, here
    for block in undo:
        block.__exit__(None, None, None)


def notes(cluster, database):
    with cluster.primary.connect(database) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT text FROM note")
        return [text for (text,) in cursor.fetchall()]


def test_a_function_that_only_some_nodes_know_runs_on_one_of_those(deploy, cluster, database):
    node, here = deploy
    app = here(NEW, addresses=[node("old", OLD), node("new", NEW)])
    assert {app.added() for _ in range(20)} == {"added of new"}
    assert {app.removed() for _ in range(30)} == {"removed of old", "removed of new"}


def test_one_that_no_node_knows_is_refused_before_anything_runs_with_both_releases(deploy, cluster, database):
    node, here = deploy
    app = here(NEW, addresses=[node("v1", OLD)], release="v2")
    with pytest.raises(
        Refused,
        match=r"'skewed:added' is not registered in release 'v1' .*skewed:changed.*; the node has imported skewed, "
        r"but without it: restart the node, so that it has the new code.*'v2'",
    ) as caught:
        app.added()
    assert caught.value.reason == "unknown function"
    assert notes(cluster, database) == []


def test_one_whose_module_no_node_has_imported_is_refused_with_other_advice(deploy, cluster, database):
    node, here = deploy
    app = here(NEW, addresses=[node("v1", OLD)])
    report = fly_orm.on_primary(name="skewed_reports:report")(app.note)
    with pytest.raises(
        Refused, match=r"skewed:removed\); import its module in the application, or serve with --import"
    ):
        report("a")
    assert notes(cluster, database) == []


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"number": 1, "colour": None}, "unexpected keyword argument 'colour'; deploy the nodes first"),
        (
            {"number": "a colour"},
            "'skewed:Colour' is not registered here .* has imported skewed, but without it: restart",
        ),
    ],
)
def test_arguments_that_a_node_cannot_take_are_given_to_another(deploy, cluster, database, arguments, complaint):
    node, here = deploy
    old, new = node("v1", OLD), node("v2", NEW)
    app = here(NEW, addresses=[old], release="v2")
    if arguments["number"] == "a colour":
        arguments = {"number": app.Colour.RED}
    with pytest.raises(
        Refused, match=rf"skewed:changed in release 'v1' does not accept the arguments.*{complaint}.*'v2'"
    ):
        app.changed(**arguments)
    assert notes(cluster, database) == []
    nodes = {"syd": tuple(Node(region="syd", address=address) for address in (old, new))}
    fly_orm.configure(settings("lax", nodes=nodes))
    assert all(app.changed(**arguments).startswith("changed of new") for _ in range(10))


def test_a_result_that_is_not_known_here_is_lost_and_said_to_be_committed(deploy, cluster, database):
    node, here = deploy
    shades = NEW.replace("Colour", "Shade")  # a name that this process has not seen yet
    app = here(shades.replace("@fly_orm.register_type", ""), addresses=[node("v2", shades)])
    with pytest.raises(fly_orm.ResultLost, match=r"is committed.*skewed:Shade"):
        app.returns_colour()
    assert notes(cluster, database) == ["colour"]


def test_a_node_that_speaks_another_protocol_is_passed_over(deploy, cluster, database):
    node, here = deploy
    foreign, known = node("v9", NEW, OTHER_PROTOCOL), node("v2", NEW)
    app = here(NEW, addresses=[foreign, known])
    assert {app.added() for _ in range(10)} == {"added of new"}
    nodes = {"syd": (Node(region="syd", address=foreign),)}
    fly_orm.configure(settings("lax", nodes=nodes))
    with pytest.raises(NotDelivered, match=r"speaks version (\d+) of .*, and this process version (?!\1)\d+; deploy"):
        app.added()
    assert len(notes(cluster, database)) == 10
