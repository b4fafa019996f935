"""A process logs one line about what it has found when it starts, and a warning for each thing that is wrong."""

from __future__ import annotations

import json
import logging

import pytest

import fly_orm
from fly_orm.findings.version import VERSION
from fly_orm.topology import Node
from tests.support.processes import script
from tests.support.two_regions import SECRET, settings
from tests.support.waiting import until


@pytest.fixture
def lines(caplog):
    """The lines that are logged at a level."""
    caplog.set_level(logging.INFO, "fly_orm")

    def lines(level):
        return [record.getMessage() for record in caplog.records if record.levelno == level]

    return lines


def started(lines):
    return [line for line in lines(logging.INFO) if line.startswith(f"fly_orm {VERSION} ")]


def test_the_first_connection_says_where_it_leads_and_later_ones_do_not(regions, lines):
    database = regions.lax()
    for _ in range(2):
        database.connect()
        database.close()
    [line] = [line for line in started(lines) if "in region 'lax'" in line]
    assert "(the primary region is 'syd')" in line
    assert f"{regions.name!r} is on the replica " in line
    assert "PostgreSQL " in line
    assert f"nodes: syd={regions.wan.address}; waiter: auto" in line


def test_where_all_is_well_nothing_is_warned_of(regions, lines):
    regions.lax().execute_sql("SELECT 1")
    assert lines(logging.WARNING) == []


def test_without_a_primary_region_it_says_so_and_warns_of_nothing(regions, lines, monkeypatch):
    database = regions.plain()
    fly_orm.wrap(database)
    database.execute_sql("SELECT 1")
    [line] = [line for line in started(lines) if "is on the" in line and "the only one" in line]
    assert "(PRIMARY_REGION is not set): " in line
    assert f"{regions.name!r} is on the primary " in line
    assert lines(logging.WARNING) == []


def test_what_is_wrong_is_warned_of_once(regions, lines, monkeypatch):
    monkeypatch.setenv("FLY-ORM_WAITER", "native")
    database = regions.lax(options={"settings": settings("lxa", nodes={"lax": (), **regions.lax_settings().nodes})})
    for _ in range(2):
        database.connect()
        database.close()
    assert [line for line in lines(logging.WARNING) if "If you mean FLY_ORM_WAITER, correct the name" in line]
    assert len([line for line in lines(logging.WARNING) if "If you mean 'lax', correct FLY_REGION" in line]) == 1


def test_a_node_that_only_its_own_machine_can_reach_warns_of_that(regions, lines):
    nodes = {"syd": (Node(region="syd", address="10.0.0.1:7654"),)}
    given = settings("syd", nodes=nodes)
    with fly_orm.serve(regions.syd(), listen="127.0.0.1:0", settings=given) as node:
        until(lambda: [line for line in lines(logging.WARNING) if "only this machine can reach" in line])
    assert [line for line in started(lines) if f"serves at {node.address}: {regions.name!r} is on the primary" in line]


def test_a_database_that_is_wrapped_twice_with_the_same_settings_is_announced_once(regions, lines):
    for _ in range(2):
        database = regions.plain()
        fly_orm.wrap(database)
        database.execute_sql("SELECT 1")
    assert len([line for line in started(lines) if "is on the" in line and "the only one" in line]) == 1


@pytest.mark.parametrize("region", [{}, {"PRIMARY_REGION": "syd", "FLY_REGION": "syd", "FLY_ORM_SECRET": SECRET}])
def test_a_process_that_sends_nothing_imports_no_transport(regions, region):
    code = """
import json, sys, fly_orm, peewee
parameters = json.loads(sys.argv[1])
database = fly_orm.wrap(peewee.PostgresqlDatabase(parameters.pop("dbname"), **parameters))
database.execute_sql("SELECT 1")
print(sorted({"Pyro5", "fly_orm_transports"} & set(sys.modules)), flush=True)
"""
    parameters = json.dumps(regions.cluster.primary.params(regions.name))
    with script(code, parameters, **region) as process:
        assert process.stdout.readline().strip() == "[]"
