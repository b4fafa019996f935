"""The nodes of a region, as they answer through NATS."""

import pytest
from fly_orm_nats import NatsDiscovery, NatsTransport
from fly_orm_nats.options import Options

from fly_orm.deadline import Deadline
from fly_orm.discovery.lookup import Pace
from fly_orm.errors import NotDelivered
from fly_orm.settings import Settings
from fly_orm.testing.contract.tools import Recorder, soon, until

AT_ONCE = Deadline.after(0)


@pytest.fixture
def serve():
    servers = []

    def start(name):
        servers.append(NatsTransport().serve(name, Recorder))
        return servers[-1]

    yield start
    for server in servers:
        server.close(0)


def discovery(app="shop", **options):
    return NatsDiscovery(Settings(app=app), pace=Pace(max_age=30, retry_interval=0, min_age=0), **options)


def addresses(found):
    return [node.address for node in found]


def test_the_shared_address_of_a_region_is_known_without_asking(nats):
    assert addresses(discovery().nodes("syd", AT_ONCE)) == ["nats:shop.syd"]
    assert addresses(discovery("").nodes("syd", AT_ONCE)) == ["nats:syd"]


def test_single_nodes_are_known_once_they_have_answered(serve):
    one, other, elsewhere = serve("nats:shop.syd"), serve("nats:shop.syd"), serve("nats:shop.lax")
    serve("nats:other.syd")
    found = discovery()
    found.refresh("syd", soon())
    first, *others = addresses(found.nodes("syd", AT_ONCE))
    assert first == "nats:shop.syd"
    assert sorted(others) == sorted(f"nats:shop.syd@{server._id}" for server in (one, other))
    assert addresses(found.nodes("lax", AT_ONCE)) == ["nats:shop.lax", f"nats:shop.lax@{elsewhere._id}"]
    one.close(0)
    found.refresh("syd", soon())
    assert addresses(found.nodes("syd", AT_ONCE)) == ["nats:shop.syd", f"nats:shop.syd@{other._id}"]


def test_regions_are_those_that_have_nodes(serve):
    assert discovery().regions(soon()) == []
    for name in ("nats:shop.syd", "nats:shop.syd", "nats:shop.lax", "nats:other.ams"):
        serve(name)
    found = discovery()
    assert found.regions(soon()) == ["lax", "syd"]
    assert "2 of shop.syd" in found.describe("syd")
    assert discovery("").regions(soon()) == []


def test_that_nats_is_not_there_is_told(nats):
    found = discovery(options=Options.from_environment({"NATS_URL": "nats://127.0.0.1:1"}))
    with pytest.raises(NotDelivered, match="cannot connect to NATS; check NATS_URL"):
        found.regions(soon())
    assert addresses(found.nodes("syd", AT_ONCE)) == ["nats:shop.syd"]
    until(lambda: "cannot connect" in found.describe("syd"))
