"""Health checks over HTTP: what they say of a node, and what clients cannot do to it."""

from __future__ import annotations

import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from http.client import HTTPConnection

import peewee
import psutil
import pytest

import fly_orm
from fly_orm import ConfigurationError
from fly_orm.protocol.inspecting import Described, Inspected, ServedDatabase
from fly_orm.serving import health, inspecting, readiness
from fly_orm.serving import http as http_module
from fly_orm.serving.readiness import problems_of
from tests.observing.heard import hearing
from tests.support.two_regions import AMPLE, close, named, settings
from tests.support.waiting import PATIENCE


def asked(address, path="/readyz", method="GET"):
    """The status and the text that a path is answered with."""
    connection = HTTPConnection(address, timeout=PATIENCE)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """Lets a busy machine answer late."""
    for module in (readiness, health, inspecting):
        monkeypatch.setattr(module, "ANSWER_TIMEOUT", AMPLE)


@pytest.fixture
def serve():
    """Starts a node on a database, and its health checks; returns both."""
    with ExitStack() as undo:

        def start(server, database, region="syd", **parameters):
            db = fly_orm.wrap(
                peewee.PostgresqlDatabase(**{**named(server, database), **parameters}), settings=settings(region)
            )
            undo.callback(close, db)
            serving = fly_orm.serve(db, listen="127.0.0.1:0", settings=settings(region))
            undo.callback(serving.close)
            return serving, serving.serve_http("127.0.0.1:0")

        yield start


def test_a_node_next_to_its_primary_is_alive_and_ready(serve, cluster, database):
    _, address = serve(cluster.primary, database)
    assert asked(address, "/livez") == (200, "alive\n")
    assert asked(address) == (200, "ready\n")
    assert asked(address, "/readyz?verbose=1", "HEAD") == (200, "")


def test_a_health_check_is_no_peer_of_the_node(serve, cluster, database, caplog, monkeypatch):
    monkeypatch.setattr(readiness, "MAX_AGE", 0)
    caplog.set_level("DEBUG", "fly_orm")
    _, address = serve(cluster.primary, database)
    with hearing() as heard:
        assert asked(address) == asked(address) == (200, "ready\n")
    assert [each for each in heard.events if type(each).__name__.startswith(("Peer", "Channel"))] == []
    assert [each for each in caplog.records if "channel" in each.getMessage()] == []


def test_what_is_not_a_health_check_is_refused(serve, cluster, database):
    _, address = serve(cluster.primary, database)
    assert asked(address, "/")[0] == 404
    assert asked(address, "/readyz", "POST")[0] == 405
    with socket.create_connection(address.split(":"), PATIENCE) as client:
        client.sendall(b"EHLO there\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    ("region", "server", "status"), [("syd", "replica", 503), ("lax", "replica", 200), ("lax", "primary", 200)]
)
def test_a_replica_is_a_problem_in_the_primary_region_alone(serve, cluster, database, region, server, status):
    _, address = serve(getattr(cluster, server), database, region)
    assert asked(address)[0] == status


def test_a_node_whose_server_is_away_is_not_ready_and_only_its_log_says_more(serve, cluster, database, caplog):
    _, address = serve(cluster.primary, database, port=1, user="gustav")
    assert asked(address) == (503, f"not ready: the server of {database!r} does not answer\n")
    assert asked(address, "/livez")[0] == 200
    assert caplog.text.count("this node is not ready: ") == 1
    assert "cannot connect to its server" in caplog.text


def test_a_node_whose_server_hangs_is_not_ready_in_bounded_time(serve, cluster, database, monkeypatch):
    monkeypatch.setattr(readiness, "ANSWER_TIMEOUT", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts connections, and never says a word
        _, address = serve(cluster.primary, database, host="127.0.0.1", port=silent.getsockname()[1])
        assert asked(address) == (503, "not ready: its servers have not answered within 0.5 seconds\n")


def test_a_node_that_drains_is_alive_but_not_ready(serve, cluster, database):
    serving, address = serve(cluster.primary, database)
    serving._executor.drain(0)
    assert asked(address) == (503, "not ready: it is shutting down\n")
    assert asked(address, "/livez")[0] == 200


def test_a_node_that_accepts_no_channel_is_not_ready(serve, cluster, database):
    serving, address = serve(cluster.primary, database)
    serving._server.close(0)
    assert asked(address) == (503, "not ready: it accepts no channel\n")


def test_closing_the_node_ends_the_health_checks(serve, cluster, database):
    serving, address = serve(cluster.primary, database)
    serving.close()
    with pytest.raises(ConnectionRefusedError):
        asked(address)


def test_clients_that_send_nothing_keep_nobody_out(serve, cluster, database, monkeypatch):
    monkeypatch.setattr(http_module, "CLIENT_TIMEOUT", 600)
    _, address = serve(cluster.primary, database)
    with ExitStack() as idle:
        clients = [
            idle.enter_context(socket.create_connection(address.split(":"), PATIENCE))
            for _ in range(http_module.MAX_CONNECTIONS + 20)
        ]
        assert asked(address, "/livez") == (200, "alive\n")
        for client in clients[:20]:  # the oldest made room
            with suppress(ConnectionResetError):
                assert client.recv(1) == b""


#: A process that answers at an address, and keeps all of its few descriptors until it gets a line.
SHORT = """
import logging, os, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
logging.basicConfig()
from fly_orm.serving import http, readiness
server = http.HttpServer(http.listen("127.0.0.1:0"), {"/livez": readiness.alive})
kept = []
try:
    while True:
        kept.append(os.dup(0))
except OSError:
    print(server.address, flush=True)
sys.stdin.readline()
for each in kept:
    os.close(each)
print("closed", flush=True)
sys.stdin.readline()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="it has no such limit")
def test_a_process_without_file_descriptors_answers_all_the_same_and_logs_one_line():
    with subprocess.Popen(
        [sys.executable, "-c", SHORT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        address = process.stdout.readline().strip()
        with ThreadPoolExecutor(8) as clients:
            answers = list(clients.map(asked, [address] * 40, ["/livez"] * 40))
        assert answers == [(200, "alive\n")] * 40
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "closed\n"
        with ExitStack() as idle:
            for _ in range(40):
                idle.enter_context(socket.create_connection(address.split(":"), PATIENCE))
            assert asked(address, "/livez") == (200, "alive\n")
            assert psutil.Process(process.pid).num_fds() < 40
        _, log = process.communicate("\n", timeout=PATIENCE)
    assert log.count("cannot accept all connections for HTTP") == len(log.splitlines()) == 1


def test_a_client_that_sends_slowly_or_too_much_is_disconnected(serve, cluster, database, monkeypatch):
    monkeypatch.setattr(http_module, "CLIENT_TIMEOUT", 0.5)
    _, address = serve(cluster.primary, database)
    with socket.create_connection(address.split(":"), PATIENCE) as slow:
        slow.sendall(b"GET /livez HTTP/1.1\r\n")
        with suppress(ConnectionResetError):
            assert slow.recv(100) == b""
    with socket.create_connection(address.split(":"), PATIENCE) as long, suppress(ConnectionError):
        long.sendall(b"GET /livez HTTP/1.1\r\n" + b"X: y\r\n" * 10_000)
        assert long.recv(100).startswith(b"HTTP/1.1 400 ")


def test_the_server_is_asked_once_however_many_clients_want_to_know(serve, cluster, database, monkeypatch):
    monkeypatch.setattr(readiness, "MAX_AGE", 600)
    serving, address = serve(cluster.primary, database)
    asks = []
    inspect = serving._executor.inspect
    monkeypatch.setattr(serving._executor, "inspect", lambda: asks.append(1) or inspect())
    with ThreadPoolExecutor(4) as clients:
        assert {status for status, _ in clients.map(asked, [address] * 20)} == {200}
    assert len(asks) == 1


def test_an_address_that_is_taken_or_malformed_is_named(serve, cluster, database):
    serving, address = serve(cluster.primary, database)
    with pytest.raises(ConfigurationError, match="serves HTTP already"):
        serving.serve_http("127.0.0.1:0")
    with pytest.raises(ConfigurationError, match=f"cannot listen for HTTP at '{address}'"):
        http_module.listen(address)
    with pytest.raises(ConfigurationError, match="write host:port"):
        http_module.listen("8080")


def test_every_address_is_listened_at_with_ipv4_too():
    server = http_module.HttpServer(http_module.listen("[::]:0"), {})
    try:
        port = server.address.rpartition(":")[2]
        assert asked(f"127.0.0.1:{port}", "/")[0] == 404
    finally:
        server.close()


@pytest.mark.skipif(sys.platform != "linux", reason="only there is each address of 127.0.0.0/8 one of this machine")
def test_each_address_of_a_name_is_listened_at_if_this_machine_has_it(monkeypatch):
    addresses = [(socket.AF_INET6, "2001:db8::1"), (socket.AF_INET, "127.0.0.1"), (socket.AF_INET, "127.0.0.2")]
    meant = [(family, socket.SOCK_STREAM, 6, "", (host, 0)) for family, host in addresses]
    with monkeypatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", lambda *_, **__: meant)
        listeners = http_module.listen("node.example:0")
    server = http_module.HttpServer(listeners, {})
    try:
        port = server.address.rpartition(":")[2]
        assert [asked(f"127.0.0.{last}:{port}", "/")[0] for last in (1, 2)] == [404, 404]
    finally:
        server.close()
    with pytest.raises(ConnectionRefusedError):
        asked(f"127.0.0.2:{port}")


def described(*databases, draining=False):
    return Inspected(version="1", driver="2", time=0.0, uptime=1.0, databases=list(databases), draining=draining)


def test_each_database_has_to_be_well():
    fine = ServedDatabase(name="a", server=Described(primary=True, run="r", address="h"))
    replica = ServedDatabase(name="b", server=Described(primary=False, run="s", address="i"))
    away = ServedDatabase(name="c", problem="why")
    problems = problems_of(described(fine, replica, away), in_primary_region=True)
    assert [tuple(problem) for problem in problems] == [
        ("the server of 'b' is a replica", "i"),
        ("the server of 'c' does not answer", "why"),
    ]
    assert problems_of(described(fine, replica), in_primary_region=False) == []
    assert [problem.text for problem in problems_of(described(fine, draining=True), in_primary_region=True)] == [
        "it is shutting down"
    ]
