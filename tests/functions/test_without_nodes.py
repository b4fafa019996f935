"""No node has the primary, but this process may."""

from __future__ import annotations

import logging
import os

import pytest

import fly_orm
from fly_orm import NotDelivered
from tests.support import shop


@pytest.fixture
def beside_primary(here):
    """The application in lax, whose own server is the primary, and which knows a node in syd."""
    here.live_in_lax(here.address)
    here.leave()
    here.db = here.database(here.cluster.primary)
    here.db.bind(shop.MODELS)
    assert shop.Item.select().count() == 0
    return here


@pytest.mark.parametrize("call", [lambda f, *args: f(*args), lambda f, *args: fly_orm.call(fly_orm.PRIMARY, f, *args)])
def test_a_function_runs_in_a_process_that_has_the_primary(beside_primary, call, caplog):
    assert call(shop.where)[:2] == (beside_primary.node.pid, "syd")  # as long as there is a node
    beside_primary.node.kill()
    for name in "abc":
        assert call(shop.stock_all, name) == 1
        assert call(shop.where)[:2] == (os.getpid(), "lax")
    assert beside_primary.stored() == ["a", "b", "c"]
    said = [record for record in caplog.records if "run in this process" in record.getMessage()]
    assert [record.levelno for record in said] == [logging.WARNING]


def test_a_function_runs_nowhere_if_this_process_has_a_replica(here):
    here.live_in_lax(here.address)
    assert here.names() == []
    here.node.kill()
    with pytest.raises(NotDelivered):
        shop.where()


def test_a_function_runs_nowhere_if_one_of_the_databases_here_is_a_replica(beside_primary):
    other = beside_primary.database(beside_primary.cluster.replica, name="other")
    assert other.execute_sql("SELECT 1").fetchone() == (1,)
    beside_primary.node.kill()
    with pytest.raises(NotDelivered):
        shop.where()


def test_a_function_runs_nowhere_if_the_server_here_cannot_be_reached(beside_primary, monkeypatch):
    beside_primary.node.kill()
    monkeypatch.setitem(beside_primary.db.connect_params, "port", 1)
    with pytest.raises(NotDelivered):
        shop.where()
