"""What the pages tell their readers to copy does what the pages say of it."""

from __future__ import annotations

import asyncio
import re
import socket
import subprocess
import sys
import time
from types import SimpleNamespace

import peewee
import pytest

import fly_orm
from fly_orm.testing import TwoRegions
from tests.support import ROOT
from tests.support.nodes import plain_environment
from tests.support.ports import free_ports
from tests.support.roles import roles
from tests.support.two_regions import settings, two_regions


def snippet(page, language, beginning):
    """The code block of a page that begins like this."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```", (ROOT / "docs" / page).read_text(), re.DOTALL | re.MULTILINE)
    [found] = [block for block in blocks if block.startswith(beginning)]
    return found


@pytest.fixture
def orders(regions, no_spare_channels, impatient):
    """The model of the page about reliability and its two functions, which sleep for a tenth of a second at most."""

    class Order(peewee.Model):
        number = peewee.IntegerField()
        total = peewee.IntegerField()

        class Meta:
            database = regions.lax(options={"rpc_timeout": 2})
            table_name = "orders"

    Order.create_table()
    patient = SimpleNamespace(sleep=lambda seconds: time.sleep(min(seconds, 0.1)))
    namespace = {"Order": Order, "fly_orm": fly_orm, "time": patient}
    exec(snippet("reliability.md", "python", "def create_order"), namespace)
    return SimpleNamespace(**namespace)


def stored(regions):
    return regions.query("SELECT count(*) FROM orders")


def test_the_error_of_a_look_is_not_taken_for_the_outcome_of_the_order(orders, regions):
    orders.time.sleep = lambda seconds: regions.wan.cut()  # and it stays cut
    regions.wan.cut_before_reply()
    with pytest.raises(fly_orm.FlyOrmError) as raised:
        orders.create_order(1, 100)
    assert isinstance(raised.value, fly_orm.OutcomeUnknown)
    assert stored(regions) == 1


def test_an_order_whose_reply_was_lost_is_found(orders, regions):
    regions.wan.cut_before_reply()
    assert orders.create_order(1, 100).number == 1
    assert stored(regions) == 1


def test_the_tenants_of_the_page_about_session_state_are_isolated(cluster, database):
    with roles(cluster, database, "web") as [web], two_regions(cluster, database) as both:
        both.query(f'GRANT CREATE ON SCHEMA public TO "{web}"')
        lax = both.lax(user=web)
        lax.execute_sql(snippet("session-state.md", "sql", "CREATE TABLE doc"))
        for tenant in ("a", "b"):
            lax.execute_sql("SELECT set_tenant(%s)", (tenant,))
            lax.execute_sql("INSERT INTO doc (body) VALUES (%s)", (f"of {tenant}",))
            assert lax.execute_sql("SELECT tenant, body FROM doc").fetchall() == [(tenant, f"of {tenant}")]


@pytest.mark.slow
@pytest.mark.parametrize(
    "beginning", ["import fly_orm\nimport pytest\nfrom fly_orm", "from fly_orm.testing import Cluster\n"]
)
def test_the_tests_of_the_page_about_testing_pass(beginning):
    namespace = {}
    exec(snippet("testing.md", "python", beginning), namespace)
    [test] = [value for name, value in namespace.items() if name.startswith("test_")]
    test()


def test_the_lifespan_of_the_page_about_web_servers_serves(regions, monkeypatch):
    [port] = free_ports(1)
    address = f"127.0.0.1:{port}"
    fly_orm.configure(settings("syd", listen=address))
    shop = SimpleNamespace(db=regions.syd())
    monkeypatch.setitem(sys.modules, "shop", SimpleNamespace(app=shop))
    monkeypatch.setitem(sys.modules, "shop.app", shop)
    namespace = {}
    exec(snippet("deploy/web-servers.md", "python", "import asyncio"), namespace)

    async def run():
        async with namespace["lifespan"](namespace["app"]):
            lax = regions.lax(options={"settings": settings("lax", address)})
            await asyncio.to_thread(lax.execute_sql, "CREATE TABLE t (i int)")

    asyncio.run(run())
    assert regions.query("SELECT to_regclass('t')::text") == "t"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_the_health_endpoint_answers_while_the_local_server_is_down(regions):
    db = regions.lax()
    namespace = {"db": db, "__name__": __name__}
    for beginning in ("from flask import Flask", "from flask import request"):
        exec(snippet("checking.md", "python", beginning), namespace)
    app = namespace["app"]
    app.get("/")(lambda: "a page")
    regions.cluster.replica.stop("immediate")
    try:
        answer = app.test_client().get("/healthz")
        assert (answer.status_code, answer.json) == (503, {"status": "live"})
        assert app.test_client().get("/").status_code == 500
    finally:
        regions.cluster.replica.start()


@pytest.mark.slow
def test_the_first_ten_minutes(tmp_path):
    (tmp_path / "blog.py").write_text(snippet("start.md", "python", "import os"))
    session = snippet("start.md", "pycon", ">>> import fly_orm")
    said = [line for line in session.splitlines() if not line.startswith(">>> ")]
    with TwoRegions("blog:db", rtt=0.08, folder=tmp_path) as both:
        typed = "".join(line.removeprefix(">>> ") + "\n" for line in session.splitlines() if line.startswith(">>> "))
        environment = {**plain_environment(), **both.environment(), "PYTHONPATH": f"{ROOT}"}
        ran = subprocess.run(
            [sys.executable, "-i", "-q", "-c", "import sys; sys.ps1 = ''"],
            cwd=tmp_path, env=environment, input=typed, capture_output=True, text=True,
        )  # fmt: skip
    shown = ran.stdout.splitlines()
    assert [shape(line) for line in shown] == [shape(line) for line in said], ran.stderr


def shape(line):
    """A line of output without what differs from run to run."""
    return re.sub(r"127[^']*|[0-9.]*[0-9](?=[,)])|localhost:[0-9]+", "#", line)
