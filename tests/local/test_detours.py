"""Connections of a secondary region that lead to the primary: which of them are on a detour, and what is logged."""

from __future__ import annotations

from typing import Any

import psycopg2
import pytest
from playhouse.pool import PooledPostgresqlDatabase

import fly_orm
from fly_orm import Route
from fly_orm.local import detour
from fly_orm.local.instance import read_instance
from fly_orm.testing import RoundRobin
from tests.local.test_second_host import count, in_lax, is_read_locally, served
from tests.support.two_regions import TwoRegions
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("_hurry", "_table")


def test_a_replica_behind_the_only_address_counts_once_it_was_reached(regions: TwoRegions, incidents: Any) -> None:
    """As Fly.io's DNS leads to the nearest machine that runs, which may be the primary's. The log stays short."""
    with RoundRobin(regions.cluster.primary, *[regions.cluster.replica] * 2) as address:
        db = regions.lax(**address.parameters)
        routes = set()
        for _ in range(8):
            with db.connection_context():
                count(db)
                routes.add(served())
    assert routes == {Route.LOCAL, Route.PRIMARY}
    assert len(incidents()) <= 2


def test_a_pool_of_mixed_connections_drifts_to_the_replica(regions: TwoRegions) -> None:
    with RoundRobin(regions.cluster.primary, *[regions.cluster.replica] * 2) as address:
        db = regions.lax(PooledPostgresqlDatabase, **address.parameters)
        until(lambda: is_read_locally(db))
        assert all(is_read_locally(db) for _ in range(4))


@pytest.mark.parametrize(
    ("order", "parameters", "second"),
    [
        (("none", "primary"), {}, True),
        (("none", "primary"), {"target_session_attrs": "any", "load_balance_hosts": "disable"}, True),
        (("none", "primary"), {"load_balance_hosts": "random"}, False),
        (("none", "primary"), {"target_session_attrs": "primary"}, False),
        (("none", "primary"), {"target_session_attrs": "read-write"}, False),
        (("primary", "none"), {}, False),
        (("primary", "none"), {"target_session_attrs": "prefer-standby"}, True),
        (("primary",), {}, False),
        (("primary",), {"target_session_attrs": "prefer-standby"}, False),
    ],
)
def test_which_connections_have_reached_a_second_choice(
    regions: TwoRegions, order: tuple[str, ...], parameters: dict[str, str], second: bool
) -> None:
    server = regions.cluster.primary
    ports = {"primary": str(server.port), "none": "5999"}
    given = {**server.params(regions.name), "host": ",".join([server.host] * len(order)), **parameters}
    connection = psycopg2.connect(**{**given, "port": ",".join(ports[each] for each in order)})
    assert detour.is_second_choice(connection) is second
    connection.close()


def test_a_promoted_replica_is_not_a_detour(regions: TwoRegions, incidents: Any) -> None:
    connection = regions.cluster.primary.connect(regions.name)
    instance = read_instance(connection)
    found = detour.Detour(regions.cluster.replica.connect)
    found.replica_reached(instance._replace(started="before"))
    found.primary_reached(connection, instance, regions.name, "lax")
    assert incidents() == []
    found.primary_reached(connection, instance._replace(port="1"), regions.name, "lax")
    assert incidents() == ["WARNING"]
    connection.close()


def test_an_unchecked_connection_to_a_second_host_is_not_local_and_is_replaced(regions: TwoRegions) -> None:
    """No node can tell that the server is the primary, so it is only read."""
    db = in_lax(regions, PooledPostgresqlDatabase)
    regions.serving.close()
    regions.cluster.replica.stop()
    assert not is_read_locally(db)
    assert fly_orm.why().server == f"localhost:{regions.cluster.primary.port}"
    assert fly_orm.why().node is None
    with pytest.raises(fly_orm.NotDelivered):
        db.execute_sql("INSERT INTO t (name) VALUES ('x')")
    db.close()
    regions.cluster.replica.start()
    until(lambda: is_read_locally(db))
    assert fly_orm.why().server == f"localhost:{regions.cluster.replica.port}"
