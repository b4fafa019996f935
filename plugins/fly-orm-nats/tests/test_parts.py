"""What can be told without a server: addresses, options, and the pieces of messages."""

import re
from dataclasses import asdict
from pathlib import Path

import pytest
from fly_orm_nats import NatsTransport
from fly_orm_nats.caller_end import CallerEnd
from fly_orm_nats.connect_options import ConnectOptions, Target
from fly_orm_nats.exchange import Exchange
from fly_orm_nats.frames import CHUNK_BYTES, WINDOW_BYTES, Assembly, Frame, Kind, MalformedMessage, chunks, decode
from fly_orm_nats.limits import Limits
from fly_orm_nats.peers import Peers
from fly_orm_nats.subjects import parse_address, region_address
from fly_orm_nats.transport import _served

from fly_orm.deadline import Deadline
from fly_orm.errors import ConfigurationError
from fly_orm.settings import Settings
from fly_orm.topology import Topology
from fly_orm.transport import parse_options


def parts(message, *, seq=1, max_payload=1000):
    return list(chunks(Kind.REQUEST, b"channel ", seq, message, max_payload))


@pytest.mark.parametrize("size", [0, 1, 978, 979, 980, 10_000])
def test_a_message_is_put_together_from_its_chunks(size):
    message = bytes(range(256)) * (size // 256 + 1)
    message = message[:size]
    frames = parts(message)
    assert all(len(frame.encode()) <= 1000 for frame in frames)
    assembly = Assembly()
    wholes = [assembly.add(decode(frame.encode()), size) for frame in frames]
    assert wholes == [*[None] * (len(frames) - 1), message]
    assert assembly.add(parts(b"next", seq=2)[0], 10) == b"next"


def test_chunks_are_no_longer_than_other_messages_can_bear():
    assert {len(frame.data) for frame in parts(bytes(3 * CHUNK_BYTES), max_payload=64 << 20)} == {CHUNK_BYTES}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda frames: frames[1:],  # the first is missing
        lambda frames: [frames[0], frames[2]],
        lambda frames: [frames[0], frames[0]],
        lambda frames: [frames[0], parts(bytes(5000), seq=2)[1]],
        lambda frames: [Frame(Kind.REQUEST, b"channel ", 1, 5001, 0, b"")],
        lambda frames: [Frame(Kind.REQUEST, b"channel ", 1, 5000, 0, b"")],  # no end to such
        lambda frames: [Frame(Kind.REQUEST, b"channel ", 1, 1, 0, b"long")],
    ],
)
def test_what_is_no_part_of_a_message_is_refused(spoil):
    assembly = Assembly()
    with pytest.raises(MalformedMessage):
        for frame in spoil(parts(bytes(5000))):
            assembly.add(frame, 5000)


def test_a_message_is_acknowledged_before_its_sender_has_to_stop():
    assembly, outstanding = Assembly(), 0
    for frame in parts(bytes(4 * WINDOW_BYTES), max_payload=1 << 20)[:-1]:
        outstanding += len(frame.data)
        assert outstanding <= WINDOW_BYTES
        assembly.add(frame, 4 * WINDOW_BYTES)
        if due := assembly.bytes_to_acknowledge():
            assert due == frame.offset + len(frame.data)
            outstanding = 0


@pytest.mark.parametrize("payload", [b"", b"x", b"\0" * 21, b"\xff" * 21])
def test_what_is_no_frame_is_told(payload):
    assert decode(payload) is None


def test_after_the_deadline_a_request_is_not_sent_any_more():
    exchange = Exchange()
    exchange.wait(Deadline.after(0))
    assert not exchange.may_finish()
    assert not exchange.may_be_executed
    assert "timed out" in exchange.problem


def test_what_was_sent_before_the_deadline_may_have_been_executed():
    exchange = Exchange()
    assert exchange.may_finish()
    exchange.wait(Deadline.after(0))
    exchange.succeed(b"too late")
    assert exchange.may_be_executed
    assert exchange.reply is None


def test_what_reached_nobody_was_not_executed():
    exchange = Exchange()
    assert exchange.may_finish()
    exchange.fail("nobody is there", undelivered=True)
    assert not exchange.may_be_executed


class Recording:
    """A connection that only remembers what is sent."""

    ended = False

    def __init__(self):
        self.peers = Peers(self.send_soon)
        self.sent = []

    def send_soon(self, peer, frame):
        self.sent.append(frame)

    def create_task(self, function, *arguments):
        return None


def test_a_reply_to_an_earlier_request_is_not_taken_for_one_to_the_next():
    end = CallerEnd(Recording(), "peer", b"channel ")
    for expected in (b"one", b"two"):
        exchange = Exchange()
        end.start(exchange, b"request")
        end.receive(Frame(Kind.REPLY, b"channel ", end._seq - 1, 4, 0, b"late"))
        assert exchange.reply is None
        end.receive(Frame(Kind.REPLY, b"channel ", end._seq, 3, 0, expected))
        assert exchange.reply == expected


def test_addresses_are_names():
    assert str(parse_address("nats:shop.syd")) == "nats:shop.syd"
    assert str(parse_address("nats:syd@0a1b")) == "nats:syd@0a1b"
    assert str(region_address("", "syd")) == "nats:syd"
    with pytest.raises(ConfigurationError, match="nats:REGION"):
        region_address("my shop", "syd")
    with pytest.raises(ConfigurationError, match="names one process"):
        _served("nats:syd@0a1b", Settings())


def test_who_is_told_no_address_serves_its_own_region():
    settings = Settings(topology=Topology(region="syd", primary_region=None), app="shop")
    assert str(_served(settings.listen, settings)) == "nats:shop.syd"


def test_the_readme_shows_the_address_at_which_its_node_serves():
    readme = (Path(__file__).parent.parent / "README.md").read_text()
    [block] = [each for each in re.findall(r"```console\n(.*?)```", readme, re.DOTALL) if "fly-orm serve" in each]
    variables = dict(re.findall(r"(\w+)=(\S+)", block))
    address = region_address(variables.get("FLY_APP_NAME", ""), variables["FLY_REGION"])
    assert f"fly-orm: serving shop at {address}\n" in block


def test_options_come_from_the_variables_that_nats_knows():
    options = ConnectOptions.from_environment(
        {"NATS_URL": "one, tls://me:p%40ss@[::1]:4223,nats://abc@three", "NATS_USER": "i"}
    )
    assert options.targets == (
        Target(url="nats://one:4222", user="i"),
        Target(url="tls://[::1]:4223", user="me", password="p@ss"),
        Target(url="nats://three:4222", token="abc"),
    )
    assert "p@ss" not in repr(options)
    assert "abc" not in repr(options)
    assert ConnectOptions.from_environment({}).targets == (Target(url="nats://127.0.0.1:4222"),)


@pytest.mark.parametrize(
    ("variables", "problem"),
    [
        ({"NATS_URL": "http://me:hidden@host"}, "NATS_URL"),
        ({"NATS_URL": "nats://me:hidden@host:port"}, "NATS_URL"),
        ({"NATS_URL": ","}, "names no server"),
        ({"NATS_CA": "/nowhere/ca.pem"}, "NATS_CA='/nowhere/ca.pem' is not a file"),
        ({"NATS_CERT": __file__}, "go together"),
        ({"NATS_CERT": __file__, "NATS_KEY": __file__}, "cannot be used"),
    ],
)
def test_options_that_cannot_be_are_told(variables, problem):
    with pytest.raises(ConfigurationError, match=problem) as caught:
        options = ConnectOptions.from_environment(variables)
        options.arguments(options.targets[0])
    assert "hidden" not in str(caught.value)


def test_the_limits_are_options_and_the_readme_knows_their_defaults():
    assert parse_options(Limits, {"max_channels": "8", "max_strangers": "2"}) == Limits(max_channels=8, max_strangers=2)
    readme = (Path(__file__).parent.parent / "README.md").read_text()
    rows = re.findall(r"^\| `(max_\w+)` \| (\d+) \|", readme, re.MULTILINE)
    assert {name: int(default) for name, default in rows} == asdict(Limits())


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"max_channel": "8"}, "no option 'max_channel'; did you mean 'max_channels'"),
        ({"max_channels": "0"}, "max_channels must be 1 or more, not 0"),
        ({"max_channels": "8"}, "max_strangers must be between 1 and max_channels, which is 8, not 64"),
    ],
)
def test_limits_that_cannot_be_are_told(options, problem):
    with pytest.raises(ConfigurationError, match=problem):
        NatsTransport(Settings(transport_options=options))
