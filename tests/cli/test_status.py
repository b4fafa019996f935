"""``fly-orm status`` shows the nodes as a table or as JSON."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest

from fly_orm.checking.status import DatabaseStatus, NodeStatus
from fly_orm.cli import main
from fly_orm.cli.status import as_text
from fly_orm.runtime import runtime
from tests.support.nodes import environment_in
from tests.support.ports import free_ports
from tests.support.two_regions import SECRET

pytestmark = pytest.mark.usefixtures("time_to_tell")


@pytest.fixture
def status(regions, monkeypatch, capsys):
    """Runs the command in lax; its exit status and output."""

    def status(*arguments, nodes=f"syd={regions.wan.address}"):
        runtime.forget()
        variables = {"PRIMARY_REGION": "syd", "FLY_REGION": "lax", "FLY_ORM_NODES": nodes, "FLY_ORM_SECRET": SECRET}
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return main(["status", *arguments]), capsys.readouterr().out

    return status


def test_it_is_a_table_with_a_row_for_each_database_of_a_node(regions, status):
    code, out = status()
    header, row = out.splitlines()
    assert code == 0
    assert header.split()[:2] == ["REGION", "NODE"]
    assert row.startswith(f"syd     {regions.wan.address}")
    assert f"{regions.name}  " in row
    assert "primary" in row
    assert "0 of 10" in row


def test_json_has_the_same(regions, status):
    code, out = status("--json")
    [node] = json.loads(out)
    assert code == 0
    assert (node["region"], node["problem"]) == ("syd", "")
    assert node["databases"][0]["name"] == regions.name


def test_a_node_that_does_not_answer_makes_the_exit_status_1(regions, status):
    down = f"127.0.0.1:{free_ports(1)[0]}"
    code, out = status(nodes=f"syd={regions.wan.address} {down}")
    assert code == 1
    assert f"syd={down}: cannot connect" in out


def test_without_nodes_it_says_so(status):
    code, out = status(nodes="")
    assert code == 1
    assert "No node is known. Set PRIMARY_REGION and FLY_ORM_NODES" in out


@pytest.mark.slow
def test_what_a_terminal_would_obey_is_shown_as_it_is_written():
    text = as_text([NodeStatus(region="syd\x1b[2J", address="a\x07", problem="lost\nb\x1b]0;c\x9b")])
    assert text.replace("\n", "").isprintable()
    assert r"syd\x1b[2J=a\x07: lost\nb\x1b]0;c\x9b" in text


def test_watching_goes_on_until_ctrl_c(regions):
    environment = {**environment_in("lax"), "FLY_ORM_NODES": f"syd={regions.wan.address}"}
    command = [sys.executable, "-m", "fly_orm", "status", "--json", "--watch=0.05"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        for _ in range(3):
            assert json.loads(process.stdout.readline())[0]["problem"] == ""
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
        assert (process.returncode, err) == (0, "")
    finally:
        process.kill()
        process.communicate()


def test_what_does_not_fit_into_the_table_is_below_it():
    replica = DatabaseStatus(
        name="shop", role="replica", server="a:5432", version="18.6", lag_bytes=2048, lag_seconds=180.0, leases=1
    )
    lost = DatabaseStatus(
        name="orders", role="", server="it is gone", version="", lag_bytes=None, lag_seconds=None, leases=0
    )
    node = NodeStatus(
        region="lax",
        address="b:1",
        problem="",
        draining=True,
        round_trip=0.08,
        uptime=7200.0,
        channels=3,
        worker=2,
        workers=4,
        pool_size=10,
        calls=("shop.f", "shop.f", "shop.g"),
        databases=(replica, lost),
    )
    header, first, second, _, *notes = as_text([node]).splitlines()
    assert "2048 bytes, 3 min" in first
    assert "80 ms" in first
    assert "2 h" in first
    assert second.split()[:2] == ["orders", "none"]
    assert notes == [
        "lax=b:1: it is shutting down",
        "lax=b:1: channels and leases are those of worker 2 of 4",
        "lax=b:1: orders: it is gone",
        "lax=b:1: runs shop.f (2)",
        "lax=b:1: runs shop.g",
    ]
    assert len(header) > 0


@pytest.mark.parametrize("option", ["--watch", "--timeout"])
def test_wrong_seconds_are_refused(capsys, option):
    with pytest.raises(SystemExit):
        main(["status", f"{option}=0"])
    assert "write seconds" in capsys.readouterr().err
