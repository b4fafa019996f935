"""PRIMARY_REGION is not set: the ledger records no statements, and the log says so."""

import logging

import peewee
import pytest

import fly_orm
from fly_orm.settings import Settings
from fly_orm.topology import Topology
from tests.support.two_regions import TwoRegions, close, named

NO_REGIONS = Settings(topology=Topology(region="ams", primary_region=None))


@pytest.fixture(autouse=True)
def unwarned(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr("fly_orm.routing.operation_block._Warning.logged", False)
    caplog.set_level(logging.WARNING, "fly_orm")


def test_a_block_that_records_nothing_warns_once(regions: TwoRegions, caplog: pytest.LogCaptureFixture) -> None:
    db = peewee.PostgresqlDatabase(**named(regions.cluster.primary, regions.name))
    fly_orm.wrap(db, settings=NO_REGIONS)
    try:
        for name in "a", "b":
            with fly_orm.operation("order-42"):
                db.execute_sql("INSERT INTO t (name) VALUES (%s)", (name,))
        [warning] = [record.getMessage() for record in caplog.records]
    finally:
        close(db)
    assert "fly_orm.operation('order-42') has recorded nothing" in warning
    assert "Set PRIMARY_REGION" in warning
    assert "with only one region, that is this one, '" in warning


def test_one_that_is_recorded_does_not(regions: TwoRegions, caplog: pytest.LogCaptureFixture) -> None:
    db = peewee.PostgresqlDatabase(**named(regions.cluster.primary, regions.name))
    fly_orm.wrap(db, settings=NO_REGIONS)  # beside the other
    try:
        for routed in regions.syd(), regions.lax():
            with fly_orm.operation(f"order {id(routed)}"):
                routed.execute_sql("INSERT INTO t (name) VALUES ('a') ON CONFLICT DO NOTHING")
    finally:
        close(db)
    assert caplog.records == []
