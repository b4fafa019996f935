"""Connections in TLS are those of the contract, and every way in which it can fail says what to do."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import socket
import ssl
import struct
import termios
import threading
from contextlib import closing, suppress

import pytest
from fly_orm_pigeon import PigeonTransport

from fly_orm.deadline import Deadline
from fly_orm.errors import ConfigurationError, NotDelivered, OutcomeUnknown
from fly_orm.protocol import tls_socket
from fly_orm.protocol.tls import Tls
from fly_orm.registry import build_transport, make_transport
from fly_orm.settings import Settings
from fly_orm.testing import TransportContract
from fly_orm.testing.contract.tools import soon
from fly_orm_transports.inprocess import InProcessTransport
from fly_orm_transports.pyro5 import Pyro5Transport
from tests.support.certificates import Certificates, Installed, variables_of

TRANSPORTS = pytest.mark.parametrize("transport", [Pyro5Transport, PigeonTransport], ids=["pyro5", "pigeon"])


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    """Those of another authority."""
    return Certificates(tmp_path_factory.mktemp("others"))


class Echo:
    trusted = True

    def respond(self, request):
        return request

    def last_reply(self, *, is_full=False):
        return b"last"

    def gone(self):
        pass


class Serving:
    """An echo server, at which peers of all kinds knock."""

    def __init__(self, transport, **settings):
        self.transport = transport
        self.server = transport(Settings(**settings)).serve("127.0.0.1:0", lambda peer: Echo())
        self.address = self.server.address

    def ask(self, address=None, **settings):
        """What the server answers to one with these settings; NotDelivered if it does not."""
        client = self.transport(Settings(**settings))
        channel = client.connect(address or self.address, soon())
        try:
            return channel.exchange(b"hello", soon())
        except OutcomeUnknown as error:  # the core's handshake, which executes nothing, would find it out
            raise NotDelivered(str(error)) from error
        finally:
            channel.close()

    def raw(self):
        """A connection without TLS."""
        host, _, port = self.address.rpartition(":")
        return socket.create_connection((host, int(port)), 20)


@pytest.fixture
def serve():
    """Starts servers, and stops them."""
    started = []

    def serve(transport, **settings):
        started.append(Serving(transport, **settings))
        return started[-1]

    yield serve
    for each in started:
        each.server.close(0)


@pytest.mark.slow
class TestPyro5(TransportContract):
    listen = "127.0.0.1:0"
    malformed_addresses = ("",)
    remote_addresses = ("192.0.2.1:7654",)

    @pytest.fixture(autouse=True)
    def _with_certificates(self, certificates, monkeypatch):
        for name, value in variables_of(certificates.files()).items():
            monkeypatch.setenv(name, value)

    @staticmethod
    def transport():
        return Pyro5Transport(Settings.from_environment())


@TRANSPORTS
def test_nothing_readable_is_on_the_network(transport, certificates, serve):
    """One who listens stands between the two."""
    heard, serving = bytearray(), serve(transport, **certificates.settings())

    def copy(source, target):
        while data := source.recv(65536):
            heard.extend(data)
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)

    def relay():
        with serving.raw() as there, listener.accept()[0] as here:
            back = threading.Thread(target=copy, args=[there, here])
            back.start()
            copy(here, there)
            back.join()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=relay)
        thread.start()
        assert serving.ask(f"127.0.0.1:{listener.getsockname()[1]}", **certificates.settings()) == b"hello"
        thread.join()
    assert b"hello" not in heard
    assert len(heard) > 1000


@TRANSPORTS
@pytest.mark.parametrize(
    ("client", "server", "problem"),
    [
        ("ours", "theirs", "was not issued by an authority in FLY_ORM_TLS_CA"),
        ("theirs and trusts us", "ours", "does not know the authority that issued this process's certificate"),
        ("expired", "ours", "the certificate of this process has expired.*fly-orm certificates"),
        ("ours", "expired", "the certificate of the peer has expired.*fly-orm certificates"),
        ("none", "ours", "FLY_ORM_TLS_CERT|the peer closed the connection|reset by peer"),
        ("ours", "none", "set FLY_ORM_TLS_CERT, FLY_ORM_TLS_KEY and FLY_ORM_TLS_CA on both ends, or on neither"),
    ],
)
def test_one_that_does_not_belong_is_told_what_to_do(
    transport, client, server, problem, certificates, others, serve, caplog
):
    caplog.set_level(logging.DEBUG)
    certificates.issue("expired", days=-1)
    kinds = {
        "ours": certificates.settings(),
        "theirs": others.settings(),
        "theirs and trusts us": others.settings(authority=certificates),
        "expired": certificates.settings("expired"),
        "none": {},
    }
    serving = serve(transport, **kinds[server])
    with pytest.raises(NotDelivered, match=problem):
        serving.ask(**kinds[client])
    if server != "expired":
        assert serving.ask(**kinds[server]) == b"hello"


@TRANSPORTS
def test_a_client_without_a_certificate_is_refused(transport, certificates, serve):
    serving = serve(transport, **certificates.settings())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        serving.raw() as sock,
        context.wrap_socket(sock) as secured,
        pytest.raises(ssl.SSLError, match="CERTIFICATE_REQUIRED"),
    ):
        secured.recv(1)


@TRANSPORTS
def test_older_versions_of_tls_are_refused(transport, certificates, serve):
    serving = serve(transport, **certificates.settings())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with serving.raw() as sock, pytest.raises(OSError, match="PROTOCOL_VERSION"):
        context.wrap_socket(sock)


@TRANSPORTS
def test_peers_that_are_silent_in_the_handshake_stop_nobody(transport, certificates, serve):
    serving = serve(transport, **certificates.settings())
    silent = [serving.raw() for _ in range(20)]
    for each in silent[:10]:
        each.sendall(b"\x16\x03\x01\x02\x00")  # the beginning of a hello
    try:
        assert serving.ask(**certificates.settings()) == b"hello"
    finally:
        for each in silent:
            each.close()


@TRANSPORTS
def test_a_peer_that_connects_and_leaves_is_not_logged(transport, certificates, serve, caplog):
    serving = serve(transport, **certificates.settings())
    serving.raw().close()
    assert serving.ask(**certificates.settings()) == b"hello"
    assert "turned" not in caplog.text


def test_a_peer_that_says_in_tls_that_it_closes_the_connection_ends_it(certificates):
    """No end of ours says so, but others may. OpenSSL then has an empty message to read, again and again."""
    theirs, ours = socket.socketpair()
    files = certificates.files()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(files.certificate, files.key)

    def leave():
        with context.wrap_socket(theirs) as client:
            client.sendall(b"last words")
            with suppress(OSError):
                client.unwrap()  # which waits until this end closes the connection

    thread = threading.Thread(target=leave)
    thread.start()
    with certificates.tls().accepted(ours) as secured:
        secured.settimeout(20)
        assert [secured.recv(100), secured.recv(100), secured.recv(100)] == [b"last words", b"", b""]
    thread.join()


@pytest.mark.parametrize("transport", [Pyro5Transport])
def test_a_server_that_is_silent_in_the_handshake_costs_no_more_than_the_deadline(transport, certificates):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        client = transport(Settings(**certificates.settings()))
        with pytest.raises(NotDelivered):
            client.connect(address, Deadline.after(0.3))


def test_a_peer_that_sends_a_byte_at_a_time_does_not_get_more_time(certificates):
    ours, theirs = socket.socketpair()
    stop = threading.Event()

    def drip():
        theirs.sendall(b"\x16\x03\x01\x40\x00")  # announces 16 KiB
        while not stop.wait(0.01):
            theirs.send(b"x")

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        with pytest.raises(OSError, match="timed out"), certificates.tls().accepted(ours) as secured:
            secured.handshake(Deadline.after(0.3))
    finally:
        stop.set()
        thread.join()
        theirs.close()


@TRANSPORTS
def test_certificates_are_loaded_again_when_they_have_changed(transport, tmp_path, serve, caplog):
    """Both authorities are trusted for a while; then the old one is not, and its certificates no longer do."""
    caplog.set_level(logging.INFO, "fly_orm")
    old, new = Certificates(tmp_path / "old"), Certificates(tmp_path / "new")
    used = Installed(tmp_path / "used")
    used.install(old, old)
    serving = serve(transport, **used.settings())
    client = transport(Settings(**used.settings()))
    with closing(client.connect(serving.address, soon())) as channel:
        for step in [(old, old, new), (new, old, new), (new, new)]:
            used.install(*step)
            assert channel.exchange(b"over the same channel", soon()) == b"over the same channel"
            with closing(client.connect(serving.address, soon())) as another:
                assert another.exchange(b"over another", soon()) == b"over another"
    with pytest.raises(NotDelivered):
        serving.ask(**old.settings(authority=new))
    assert "loaded the changed certificates" in caplog.text


def test_while_only_one_of_the_files_has_been_replaced_those_from_before_are_used(tmp_path, caplog):
    one, another, used = Certificates(tmp_path / "1"), Certificates(tmp_path / "2"), Installed(tmp_path / "used")
    used.install(one, one, another)
    tls = used.tls()
    used.replace("node.pem", (another.folder / "node.pem").read_bytes())
    handshake(tls, tls)
    assert caplog.text.count("the certificates have changed, and those from before stay in use") == 1
    caplog.set_level(logging.INFO, "fly_orm")
    used.replace("node.key", (another.folder / "node.key").read_bytes())
    handshake(tls, tls)
    assert "loaded the changed certificates" in caplog.text


def test_a_peer_that_never_stops_sending_leaves_others_their_turn(certificates):
    """A socket that does not block returns, whatever arrives meanwhile; here, all that a socket can hold."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * 2**20)
    sent = theirs.send(b"no TLS at all" * 20_000)
    with closing(theirs), certificates.tls().accepted(ours) as secured:
        secured.setblocking(False)
        with pytest.raises(OSError, match="does not use TLS"):
            secured.recv(2048)
        left = len(secured.recv(2**20, socket.MSG_PEEK)) and _unread(secured)
    assert sent > 200_000
    assert left > 100_000


def _unread(sock):
    size = struct.pack("i", 0)
    return struct.unpack("i", fcntl.ioctl(sock, termios.FIONREAD, size))[0]


def handshake(client: Tls, server: Tls):
    """Both ends of a connection."""
    one, other = socket.socketpair()
    accepted = server.accepted(other)
    thread = threading.Thread(target=accepted.handshake, args=[soon()])
    thread.start()
    connected = client.connect(one, soon())
    thread.join()
    connected.close()
    accepted.close()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"tls_key": ""}, "FLY_ORM_TLS_KEY must be set as well"),
        ({"tls_key": "", "tls_ca": ""}, "FLY_ORM_TLS_KEY and FLY_ORM_TLS_CA must be set as well"),
        ({"tls_key": "/no/such.key"}, r"there is no file '/no/such.key' \(FLY_ORM_TLS_KEY\)"),
        ({"tls_ca": "/no/such.pem"}, r"there is no file '/no/such.pem' \(FLY_ORM_TLS_CA\)"),
        ({"tls_key": "/"}, r"cannot read '/' \(FLY_ORM_TLS_KEY\): "),
        ({"tls_ca": os.devnull}, r"'/dev/null' \(FLY_ORM_TLS_CA\) is not a valid PEM file"),
        (
            {"tls_cert": os.devnull},
            r"'/dev/null' \(FLY_ORM_TLS_CERT\) or .* \(FLY_ORM_TLS_KEY\) is not a valid",
        ),
        ({"tls_key": "other.key"}, r"the key in .* \(FLY_ORM_TLS_KEY\) is not that of the certificate"),
        ({"tls_key": "encrypted.key"}, "cannot be used: it is encrypted"),
    ],
)
def test_files_that_cannot_be_used_are_a_matter_of_configuration(change, problem, certificates, others):
    shutil.copy(others.folder / "node.key", certificates.folder / "other.key")
    encrypt(certificates.folder / "node.key", certificates.folder / "encrypted.key")
    paths = {
        name: str(certificates.folder / path) if path.endswith("r.key") or path.startswith("enc") else path
        for name, path in change.items()
    }
    with pytest.raises(ConfigurationError, match=problem):
        Pyro5Transport(Settings(**{**certificates.settings(), **paths}))


def encrypt(source, target):
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key(source.read_bytes(), None)
    encryption = serialization.BestAvailableEncryption(b"hunter2")
    target.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption))


def test_a_transport_that_does_not_encrypt_is_refused_if_tls_is_asked_for(certificates):
    with pytest.raises(ConfigurationError, match="does not offer TLS: unset FLY_ORM_TLS_CERT"):
        build_transport(InProcessTransport, Settings(**certificates.settings()))
    make_transport("pyro5", Settings(**certificates.settings()))


def test_two_threads_may_use_a_socket_at_a_time(certificates):
    """One sends at once, as a server does that is closing, while the other receives."""
    one, other = socket.socketpair()
    accepted = certificates.tls().accepted(other)
    thread = threading.Thread(target=accepted.handshake, args=[soon()])
    thread.start()
    with certificates.tls().connect(one, soon()) as client, accepted:
        thread.join()
        received = []
        client.settimeout(20)
        reader = threading.Thread(target=lambda: received.append(client.recv(100)))
        reader.start()
        for _ in range(10):
            client.send(b"x", tls_socket._AT_ONCE)
        accepted.settimeout(20)
        accepted.sendall(b"answer")
        reader.join()
        assert received == [b"answer"]
        got = b""
        while len(got) < 10:
            got += accepted.recv(1000)
        assert got == b"x" * 10
