"""The nodes of a region, as they answer through NATS."""

import asyncio

import pytest
from fly_orm_nats import NatsDiscovery, NatsTransport
from fly_orm_nats import discovery as module
from fly_orm_nats.connect_options import ConnectOptions
from fly_orm_nats.frames import Frame, Kind

from fly_orm.deadline import Deadline
from fly_orm.discovery import CachePolicy
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
    return NatsDiscovery(Settings(app=app), policy=CachePolicy(max_age=30, retry_interval=0, min_age=0), **options)


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
    found = discovery(options=ConnectOptions.from_environment({"NATS_URL": "nats://127.0.0.1:1"}))
    with pytest.raises(NotDelivered, match="cannot connect to NATS; check NATS_URL"):
        found.regions(soon())
    assert addresses(found.nodes("syd", AT_ONCE)) == ["nats:shop.syd"]
    until(lambda: "cannot connect" in found.describe("syd"))


class Answered:
    """A connection over which the question is answered so, and which then says that nobody else is there."""

    id = "0" * 24

    def __init__(self, *answers, kind=Kind.HERE):
        self.reply_handlers = {}
        self._texts, self._kind = answers, kind

    async def publish_to(self, subject, payload, reply):
        [(number, take)] = self.reply_handlers.items()
        for text in self._texts:
            take("peer", Frame(self._kind, number, data=text))
        take("", None)


def gather(app, *answers, **options):
    return asyncio.run(module._gather(Answered(*answers, **options), app))


ID = "0123456789abcdef01234567"
GOOD = f"shop.syd {ID}".encode()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"shop.syd",
        b"shop.syd 0a1b",
        GOOD + b" more",
        GOOD.upper(),
        f"other.syd {ID}".encode(),
        f"syd {ID}".encode(),
        f"shop.* {ID}".encode(),
        f"shop..syd {ID}".encode(),
        f"shop. {ID}".encode(),
        f"shop.\xe9 {ID}".encode(),
        f"shop.{'x' * 200} {ID}".encode(),
    ],
)
def test_an_answer_that_names_no_node_of_the_application_is_left_out(answer):
    assert gather("shop", answer, GOOD) == {"shop.syd": [ID]}


def test_who_answers_more_than_once_is_one_node():
    assert gather("shop", GOOD, GOOD) == {"shop.syd": [ID]}
    assert gather("", f"syd {ID}".encode(), GOOD) == {"syd": [ID]}


def test_what_is_no_answer_to_the_question_is_left_out():
    assert gather("shop", GOOD, kind=Kind.OPENED) == {}


def test_the_number_of_nodes_is_bounded(monkeypatch):
    monkeypatch.setattr(module, "MAX_NODES", 3)
    assert len(gather("shop", *(f"shop.syd {n:024x}".encode() for n in range(9)))["shop.syd"]) == 3
