"""Test databases are created and dropped through the replica, although nodes are connected to them."""

from contextlib import ExitStack

import pytest
from django.db import connections
from django_regions import address, in_lax, project_node, said
from django_shop.models import Author

from tests.support.two_regions import Regions


@pytest.fixture
def node(cluster, database):
    """The address of a node that serves the test databases of the project, and two clones."""
    with project_node(cluster, database, "--tests", "2", "--import", "django_shop.functions") as process:
        yield process.address()
    for name in (f"test_{database}", f"test_{database}_1", f"test_{database}_2"):
        cluster.drop_database(name)


def found(cluster):
    return cluster.primary.query(
        "SELECT coalesce(string_agg(datname, ' ' ORDER BY datname), '') FROM pg_database WHERE datname ~ '^test_test_'"
    )


def test_one_is_created_cloned_and_dropped_by_a_runner(cluster, database, node):
    with ExitStack() as undo, in_lax(Regions(cluster=cluster, name=database, undo=undo), node):
        creation = connections["default"].creation
        name = creation.create_test_db(verbosity=0, serialize=False)
        Author.objects.create(name="ann")
        assert Author.objects.get().name == "ann"
        creation.clone_test_db("1", verbosity=0)
        assert found(cluster) == f"{name} {name}_1"
        Author.objects.create(name="bob")
        creation.clone_test_db("1", verbosity=0)  # anew
        creation.destroy_test_db(suffix="1", verbosity=0)
        Author.objects.create(name="cat")
        creation.destroy_test_db(database, verbosity=0, keepdb=True)
        assert found(cluster) == name
        creation.create_test_db(verbosity=0, serialize=False, keepdb=True)
        assert Author.objects.count() == 3
        creation.destroy_test_db(database, verbosity=0, keepdb=True)
        creation.create_test_db(verbosity=0, serialize=False, autoclobber=True)
        assert Author.objects.count() == 0
        creation.destroy_test_db(database, verbosity=0)
        assert found(cluster) == ""


def test_a_node_that_does_not_serve_them_is_named_with_what_does(regions, capsys):
    with pytest.raises(SystemExit):
        connections["default"].creation.create_test_db(verbosity=0, serialize=False)
    error = capsys.readouterr().err
    assert "not 'postgres'" in error
    assert "To run tests from this region, start the node there with `manage.py fly_orm_serve --tests`" in error


def test_a_node_does_not_warn_of_those_that_a_runner_creates_later(cluster, database):
    with project_node(cluster, database, "--tests") as node:
        node.address()
        said = []
        while "serves at" not in "".join(said):
            said.append(node.process.stderr.readline())
    assert not [line for line in said if line.startswith(("WARNING", "ERROR"))]


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--keepdb",), ("--parallel", "2", "--exclude-tag", "function")])
def test_the_tests_of_the_project_pass_in_a_secondary_region(cluster, database, node, options):
    lax = {"FLY_REGION": "lax", "FLY_ORM_NODES": f"syd={node}", "SHOP_DATABASE": address(cluster.replica, database)}
    status, _, err = said("test", "django_shop", "--noinput", *options, **lax)
    assert status == 0, err
    assert f"Ran {4 if 'function' in options else 5} tests" in err
    assert found(cluster) == (f"test_{database}" if options == ("--keepdb",) else "")
