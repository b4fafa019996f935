"""The database's URL in each region of Fly.io."""

from __future__ import annotations

import logging

import peewee
import pytest
from psycopg2.extensions import parse_dsn

import fly_orm
from fly_orm import ConfigurationError, Settings
from fly_orm.runtime import database_url
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
        ("TOP1.nearest.of.db.internal", "top1.nearest.of.db.internal", "top1.nearest.of.db.internal:5433"),
        ("top2.nearest.of.db.internal:5432", "top1.nearest.of.db.internal:5432", "top1.nearest.of.db.internal:5433"),
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


@pytest.mark.parametrize(
    ("given", "hosts", "ports"),
    [
        ("db.internal:5432", "top1.nearest.of.db.internal,db.internal", "5433,5432"),
        ("db.internal", "top1.nearest.of.db.internal,db.internal", "5433,5432"),
        ("top1.nearest.of.db.internal:5433", "top1.nearest.of.db.internal,db.internal", "5433,5432"),
        ("lax.db.internal:5433", "lax.db.internal,db.internal", "5433,5432"),
        ("db.flycast:5433", "db.flycast,db.flycast", "5433,5432"),
        (
            "a.internal,b.internal",
            "top1.nearest.of.a.internal,top1.nearest.of.b.internal,a.internal,b.internal",
            "5433,5433,5432,5432",
        ),
    ],
)
@pytest.mark.parametrize("around", ["postgres://{}", "postgres://u:p%40s%2Fs@{}/shop?sslmode=disable"])
def test_a_fallback_is_the_primary_as_libpqs_next_host(given, hosts, ports, around):
    made = fly_orm.database_url(around.format(given), fallback=True, settings=at("lax"))
    parsed = parse_dsn(made)
    assert (parsed["host"], parsed["port"], parsed["connect_timeout"]) == (hosts, ports, "3")
    if "shop" in around:
        assert (parsed["user"], parsed["password"], parsed["dbname"]) == ("u", "p@s/s", "shop")
    for fallback in (False, True):
        assert fly_orm.database_url(made, fallback=fallback, settings=at("lax")) == made


@pytest.mark.parametrize("host", ["localhost", "db.internal:6000", "syd.db.internal:5432", "db.example.com:5433", ""])
def test_hosts_of_other_kinds_get_no_fallback(host):
    made = fly_orm.database_url(f"postgres://{host}/shop", fallback=True, settings=at("lax"))
    assert parse_dsn(made).get("host", "").count(",") == 0
    assert "connect_timeout" not in made


def test_in_the_primary_region_there_is_no_fallback():
    url = "postgres://db.internal/shop"
    assert fly_orm.database_url(url, fallback=True, settings=at("syd")) == fly_orm.database_url(url, settings=at("syd"))


def test_a_connect_timeout_of_the_url_stays():
    url = fly_orm.database_url("postgres://db.internal/shop?connect_timeout=9", fallback=True, settings=at("lax"))
    assert parse_dsn(url)["connect_timeout"] == "9"


def test_peewee_takes_a_url_with_a_fallback_as_it_is():
    url = fly_orm.database_url("postgres://no-db.internal/shop", fallback=True, settings=at("lax"))
    database = peewee.PostgresqlDatabase(url)
    with pytest.raises(peewee.OperationalError, match=r'translate host name "no-db\.internal"'):
        database.connect()


@pytest.fixture
def warnings(caplog, monkeypatch):
    monkeypatch.setattr(database_url, "_warned", set())
    caplog.set_level(logging.WARNING, "fly_orm")
    return caplog


def test_a_flycast_address_is_warned_of_once(warnings):
    for url in ("postgres://db.flycast:5432/shop",) * 2 + ("postgres://db.flycast/shop",):
        assert fly_orm.database_url(url, settings=at("lax")) == url
    (message,) = warnings.messages
    assert "use db.internal in DATABASE_URL" in message


@pytest.mark.parametrize(
    ("host", "region"), [("db.flycast:5432", "syd"), ("db.flycast:5433", "lax"), ("db.internal:5432", "lax")]
)
def test_others_are_not(host, region, warnings):
    made = fly_orm.database_url(f"postgres://{host}/shop", fallback=True, settings=at(region))
    fly_orm.database_url(made, fallback=True, settings=at(region))
    assert warnings.messages == []
