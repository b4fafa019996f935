"""Credentials, permissions and TLS, as NATS has them."""

import socket
import ssl
import threading
from contextlib import suppress
from types import SimpleNamespace
from urllib.parse import urlsplit

import nkeys
import pytest
import trustme
from fly_orm_nats import NatsTransport
from fly_orm_nats.connect_options import ConnectOptions
from fly_orm_nats.connector import Connector
from split_transport import to

from fly_orm.errors import ConfigurationError, NotDelivered
from fly_orm.testing.contract.tools import ask, node_of, soon
from tests.support.nats_server import nats_server
from tests.support.waiting import until

PERMITTED = 'publish: "fly_orm.>", subscribe: "fly_orm.>"'


@pytest.fixture
def configured(tmp_path):
    """Starts a server with a configuration."""
    servers = []

    def start(text, **options):
        file = tmp_path / "nats.conf"
        file.write_text(text)
        servers.append(nats_server("-c", str(file), **options))
        return servers[-1].__enter__()

    yield start
    for server in servers:
        server.__exit__(None, None, None)


def transport(url, **variables):
    return NatsTransport(options=ConnectOptions.from_environment({"NATS_URL": url, **variables}))


def exchanges(made):
    with node_of(made, "nats:syd") as node:
        return ask(node.serve().connect(), b"hello") == b"hello"


def test_user_and_password_are_in_the_url_or_beside_it(configured):
    server = configured('authorization { user: me, password: "p@ss w/ord" }')
    host = server.url.removeprefix("nats://")
    assert exchanges(to(f"nats://me:p%40ss%20w%2Ford@{host}"))
    assert exchanges(transport(server.url, NATS_USER="me", NATS_PASSWORD="p@ss w/ord"))


def test_a_token_is_in_the_url(configured):
    server = configured("authorization { token: abc }")
    assert exchanges(to(server.url.replace("//", "//abc@")))


def test_a_key_is_in_a_file(configured, tmp_path):
    seed = nkeys.encode_seed(bytes(range(32)), nkeys.PREFIX_BYTE_USER)
    file = tmp_path / "seed"
    file.write_bytes(seed)
    public = nkeys.from_seed(seed).public_key.decode()
    server = configured(f"authorization {{ users: [ {{ nkey: {public}, permissions: {{ {PERMITTED} }} }} ] }}")
    assert exchanges(transport(server.url, NATS_NKEY=str(file)))


@pytest.mark.parametrize("credentials", ["", "me:wrong@"])
def test_wrong_credentials_are_told(configured, credentials):
    server = configured("authorization { user: me, password: right }")
    wrong = to(server.url.replace("//", f"//{credentials}"))
    with pytest.raises(ConfigurationError, match=r"Authorization Violation.*NATS_URL.*were refused"):
        wrong.serve("nats:syd", None)
    with pytest.raises(NotDelivered, match=r"Authorization Violation.*NATS_URL.*were refused"):
        wrong.connect("nats:syd", soon())


def test_everything_needed_is_below_one_subject(configured):
    users = f"{{ user: me, password: x, permissions: {{ {PERMITTED} }} }}"
    server = configured(f"authorization {{ users: [ {users} ] }}")
    assert exchanges(to(server.url.replace("//", "//me:x@")))


def test_what_is_not_permitted_is_told(configured):
    callers = '{ user: caller, password: x, permissions: { publish: "none", subscribe: "fly_orm.to.>" } }'
    nodes = f"{{ user: node, password: x, permissions: {{ {PERMITTED} }} }}"
    server = configured(f"authorization {{ users: [ {callers}, {nodes} ] }}")
    caller = to(server.url.replace("//", "//caller:x@"))
    with pytest.raises(ConfigurationError, match=r"(?i)permissions violation for subscription to .fly_orm\.node\.syd"):
        caller.serve("nats:syd", None)
    with node_of(to(server.url.replace("//", "//node:x@")), "nats:syd") as node:
        node.serve()
        with pytest.raises(NotDelivered, match=r"(?i)permissions violation for publish to .fly_orm\.node\.syd"):
            caller.connect("nats:syd", soon(1))


class Tls:
    def __init__(self, folder):
        authority = trustme.CA()
        self.ca = str(folder / "ca.pem")
        authority.cert_pem.write_to_path(self.ca)
        for name, made in {"server": authority.issue_cert("127.0.0.1"), "user": authority.issue_cert("me")}.items():
            made.private_key_pem.write_to_path(str(folder / f"{name}.key"))
            made.cert_chain_pems[0].write_to_path(str(folder / f"{name}.pem"))
        self.cert, self.key = str(folder / "user.pem"), str(folder / "user.key")
        self.config = f'tls {{ cert_file: "{folder}/server.pem", key_file: "{folder}/server.key", ca_file: "{self.ca}"'


@pytest.fixture
def tls(tmp_path):
    return Tls(tmp_path)


def test_tls_is_used_and_the_servers_certificate_checked(configured, tls):
    server = configured(f"{tls.config} }}", scheme="tls")
    made = transport(server.url, NATS_CA=tls.ca)
    assert exchanges(made)
    assert isinstance(made._shared._current.client._transport._io_writer.get_extra_info("ssl_object"), ssl.SSLObject)
    with pytest.raises(NotDelivered, match="certificate verify failed"):
        to(server.url).connect("nats:syd", soon())


@pytest.fixture
def eavesdropper():
    """A server without TLS that keeps the first bytes that it is sent, until the connection ends."""
    heard = []

    def run():
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            with peer, suppress(OSError):
                peer.settimeout(20)
                peer.sendall(b'INFO {"server_id":"x","version":"2.10.0","max_payload":1048576,"proto":1}\r\n')
                heard.append(peer.recv(65536))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield listener.getsockname()[1], heard
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(20)


@pytest.mark.parametrize(("scheme", "with_ca"), [("tls", False), ("tls", True), ("nats", True)])
def test_nothing_is_sent_to_a_server_without_tls_where_tls_was_asked_for(eavesdropper, tls, scheme, with_ca):
    port, heard = eavesdropper
    variables = {"NATS_CA": tls.ca} if with_ca else {}
    made = transport(f"{scheme}://me:password@127.0.0.1:{port}", **variables)
    with pytest.raises(ConfigurationError, match="does not offer TLS, so nothing was sent to it"):
        made.serve("nats:syd", None)
    with pytest.raises(NotDelivered, match="does not offer TLS, so nothing was sent to it"):
        made.connect("nats:syd", soon())
    until(lambda: len(heard) >= 2)
    assert set(heard) == {b""}


@pytest.mark.parametrize("urls", ["tls://me:x@one,nats://two", "nats://me:x@one,tls://two"])
def test_servers_of_the_cluster_are_reached_by_tls_if_any_server_is(urls, tls):
    options = ConnectOptions.from_environment({"NATS_URL": urls, "NATS_CA": tls.ca})
    connector = Connector(options)
    for scheme in ("nats", "tls"):
        connector._learn(
            SimpleNamespace(discovered_servers=[urlsplit(f"{scheme}://{host}") for host in ("two:4222", "3:1")])
        )
        assert [target.url for target in connector._discovered] == ["tls://3:1"]
        assert "tls" in options.arguments(connector._discovered[0])


@pytest.mark.parametrize(("url", "taken"), [("tls://one", ()), ("nats://one", ("nats://two:4222",))])
def test_servers_that_somebody_on_the_way_may_have_named_are_not_taken(url, taken):
    """Whoever has a name of its own has a certificate of a public authority."""
    connector = Connector(ConnectOptions.from_environment({"NATS_URL": url}))
    connector._learn(SimpleNamespace(discovered_servers=[urlsplit("tls://two:4222")]))
    assert tuple(target.url for target in connector._discovered) == taken


def test_the_server_may_ask_for_a_certificate(configured, tls):
    server = configured(f"{tls.config}, verify: true }}", scheme="tls")
    assert exchanges(transport(server.url, NATS_CA=tls.ca, NATS_CERT=tls.cert, NATS_KEY=tls.key))
    with pytest.raises(NotDelivered, match="cannot connect to NATS"):
        transport(server.url, NATS_CA=tls.ca).connect("nats:syd", soon())


@pytest.mark.parametrize("size", [0, 900, 10_000, 300_000])
def test_messages_are_cut_to_what_the_server_carries(configured, size):
    made = to(configured("max_payload: 1024").url)
    with node_of(made, "nats:syd") as node:
        assert ask(node.serve().connect(), b"x" * size, 20) == b"x" * size


def test_the_names_that_nats_py_does_not_promise_are_still_there(nats):
    """What a forked process lets go of."""
    from fly_orm_nats.connector import _writers

    with node_of(to(nats.url), "nats:syd") as node:
        node.serve()
        writers = _writers(node.transport._shared._current.client)
        assert [writer.get_extra_info("socket").getpeername()[1] for writer in writers] == [nats.port] * 2
