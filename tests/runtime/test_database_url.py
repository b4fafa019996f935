"""The database's URL in each region of Fly.io."""

from __future__ import annotations

import pytest

import fly_orm
from fly_orm import ConfigurationError, Settings
from fly_orm.topology import Topology


def at(region):
    return Settings(topology=Topology(region=region, primary_region="syd"))


@pytest.mark.parametrize(
    ("given", "primary", "secondary"),
    [
        ("db.internal:5432", "top1.nearest.of.db.internal:5432", "top1.nearest.of.db.internal:5433"),
        ("db.internal", "top1.nearest.of.db.internal", "top1.nearest.of.db.internal:5433"),
        ("db.internal:", "top1.nearest.of.db.internal:", "top1.nearest.of.db.internal:5433"),
        ("db.internal:6000", "top1.nearest.of.db.internal:6000", "top1.nearest.of.db.internal:6000"),
        ("My-db2.INTERNAL:5432", "top1.nearest.of.My-db2.INTERNAL:5432", "top1.nearest.of.My-db2.INTERNAL:5433"),
        ("TOP1.nearest.of.db.internal", "TOP1.nearest.of.db.internal", "TOP1.nearest.of.db.internal:5433"),
        ("top1.nearest.of.db.internal", "top1.nearest.of.db.internal", "top1.nearest.of.db.internal:5433"),
        (
            "a.internal:5432,b.internal,c.flycast:5432",
            "top1.nearest.of.a.internal:5432,top1.nearest.of.b.internal,c.flycast:5432",
            "top1.nearest.of.a.internal:5433,top1.nearest.of.b.internal:5433,c.flycast:5432",
        ),
        *(
            (host, host, host)
            for host in (
                "db.flycast:5432",
                "db.flycast",
                "localhost:5432",
                "db.example.com",
                "db.internal.example.com:5432",
                "syd.db.internal:5432",
                "[fdaa::3]:5432",
                "",
            )
        ),
    ],
)
@pytest.mark.parametrize(
    "around", ["postgres://{}", "postgresql+pool://u:p%40s%2Fs@{}/shop?sslmode=disable&a=x.internal"]
)
def test_the_host_is_the_nearest_and_a_replicas_port_its_own(given, primary, secondary, around):
    url = around.format(given)
    for region, host in (("syd", primary), ("lax", secondary)):
        made = fly_orm.database_url(url, settings=at(region))
        assert made == around.format(host)
        assert fly_orm.database_url(made, settings=at(region)) == made


def test_an_at_sign_in_the_password_is_part_of_it():
    made = fly_orm.database_url("postgres://u:p@ss@db.internal/shop", settings=at("lax"))
    assert made == "postgres://u:p@ss@top1.nearest.of.db.internal:5433/shop"


def test_url_and_region_are_those_of_the_environment(monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgres://db.internal/shop")
    monkeypatch.setenv("PRIMARY_REGION", "syd")
    monkeypatch.setenv("FLY_REGION", "lax")
    assert fly_orm.database_url() == "postgres://top1.nearest.of.db.internal:5433/shop"
    monkeypatch.setenv("FLY_REGION", "syd")
    assert fly_orm.database_url() == "postgres://top1.nearest.of.db.internal/shop"


@pytest.mark.parametrize("value", [None, ""])
def test_no_url_is_a_matter_of_configuration(monkeypatch, value):
    monkeypatch.delenv("DATABASE_URL", raising=False)
    if value is not None:
        monkeypatch.setenv("DATABASE_URL", value)
    with pytest.raises(ConfigurationError, match="no DATABASE_URL in the environment"):
        fly_orm.database_url(settings=at("lax"))


def test_what_is_no_url_is_not_passed_on_nor_shown():
    with pytest.raises(ConfigurationError, match="must look like") as caught:
        fly_orm.database_url("host=db.internal password=secret", settings=at("lax"))
    assert "secret" not in str(caught.value)
