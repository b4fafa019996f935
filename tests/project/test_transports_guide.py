"""The guide to transports builds the example plug-in, its code runs, and its tables are complete."""

from __future__ import annotations

import re
from dataclasses import asdict

import pytest
from fly_orm_pigeon import PigeonChannel, PigeonTransport

from fly_orm.testing.contract.setting import Setting
from fly_orm.testing.contract.tools import ask, in_child, node_of
from fly_orm_transports.inprocess import link_to
from fly_orm_transports.inprocess.transport import InProcessOptions
from fly_orm_transports.pyro5 import Pyro5Options
from tests.support import ROOT

GUIDE = (ROOT / "docs" / "transports.md").read_text()
PLUGIN = ROOT / "plugins" / "fly-orm-pigeon"


def section(title):
    return GUIDE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def blocks(kind, title):
    return re.findall(rf"^```{kind}\n(.*?)^```", section(title), re.DOTALL | re.MULTILINE)


def test_it_builds_the_plug_in_to_the_letter():
    test, *parts = blocks("python", "From an empty folder")
    assert test == (PLUGIN / "tests" / "test_pigeon.py").read_text()
    assert "\n\n".join(parts) == (PLUGIN / "fly_orm_pigeon.py").read_text()
    for kind, name in ("ini", "setup.cfg"), ("toml", "pyproject.toml"):
        assert blocks(kind, "From an empty folder") == [(PLUGIN / name).read_text()]


def test_it_says_how_long_the_plug_in_is():
    lines = len((PLUGIN / "fly_orm_pigeon.py").read_text().splitlines())
    assert f"some {lines // 10 * 10} lines" in GUIDE


def test_it_knows_what_the_contract_can_be_told():
    rows = re.findall(r"^\| `(\w+)` \| `(.*?)` \|", section("What the contract asks"), re.MULTILINE)
    assert {name: eval(default) for name, default in rows} == {
        name: getattr(Setting, name) for name in Setting.__annotations__ if hasattr(Setting, name)
    }


def test_it_knows_the_options_and_their_defaults():
    rows = re.findall(r"^\| (?:`(\w+)`)? ?\| (?:`(\w+)`)? ?\| (\w+)? ?\|", section("Options"), re.MULTILINE)
    found, transport = {}, ""
    for name, option, default in rows:
        transport = name or transport
        found.setdefault(transport, {}).update({option: int(default)} if option else {})
    assert found == {"pyro5": asdict(Pyro5Options()), "inprocess": asdict(InProcessOptions())}


@pytest.fixture
def prompt_channel():
    """The class that the guide derives."""
    namespace = {"PigeonChannel": PigeonChannel}
    [block] = blocks("python", "Forked processes")
    exec(block, namespace)
    return namespace["PromptChannel"]


def test_its_channel_lets_go_of_the_socket_in_a_forked_process(prompt_channel, monkeypatch):
    monkeypatch.setattr("fly_orm_pigeon.PigeonChannel", prompt_channel)
    with node_of(PigeonTransport(), "127.0.0.1:0") as node:
        channel = node.serve().connect()
        ask(channel, b"before")

        def child():
            assert channel._sock.fileno() == -1

        in_child(child)
        assert ask(channel, b"after") == b"after"


def test_its_way_to_make_a_link_fail_runs():
    [block] = blocks("python", "Without a network")
    exec(block, {})
    assert link_to("syd").rtt == 0
