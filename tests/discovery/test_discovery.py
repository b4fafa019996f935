"""Where the nodes of a region are looked for, and what is known when that fails."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import dns.rcode
import pytest

from fly_orm import ConfigurationError, Node, NotDelivered, Settings
from fly_orm.deadline import Deadline
from fly_orm.discovery import discovery_name
from fly_orm.discovery.dns import DnsDiscovery, parse_regions, port_of
from fly_orm.discovery.lookup import CachePolicy
from fly_orm.discovery.static import StaticDiscovery
from fly_orm.registry import make_discovery
from fly_orm.testing.contract.tools import in_child, soon, until
from fly_orm.topology import parse_nodes
from tests.support.dns_server import DnsServer

#: Answers are asked for anew all the time, or nearly never.
RESTLESS = CachePolicy(max_age=0, retry_interval=0, min_age=0)
PATIENT = CachePolicy(max_age=600, retry_interval=600, min_age=600)
AT_ONCE = Deadline(at=0.0, timeout=0)


def static(text=""):
    return StaticDiscovery(Settings(nodes=parse_nodes("FLY_ORM_NODES", text)))


def syd(*addresses):
    return tuple(Node(region="syd", address=address) for address in addresses)


def lookups():
    return [thread for thread in threading.enumerate() if thread.name == "fly_orm lookup"]


@pytest.fixture
def server():
    with DnsServer() as server:
        server.set("syd", "fdaa::2", "fdaa::1")
        server.records["regions.shop.internal.", "TXT"] = ['"lax,syd"']
        yield server
        server.open.set()
        until(lambda: not lookups())


@pytest.fixture
def discovery(server):
    """Makes discoveries that ask the server."""
    return lambda policy=PATIENT, timeout=5.0: DnsDiscovery(
        Settings(app="shop", listen="[::]:7000"), resolver=server.resolver(), policy=policy, timeout=timeout
    )


class TestWhichDiscovery:
    @pytest.mark.parametrize(
        ("given", "name"),
        [
            ({}, "static"),
            ({"app": "shop"}, "dns"),
            ({"nodes": parse_nodes("FLY_ORM_NODES", "syd=a:1")}, "static"),
            ({"nodes": parse_nodes("FLY_ORM_NODES", "syd=a:1"), "app": "shop"}, "static"),
            ({"nodes": parse_nodes("FLY_ORM_NODES", "syd=a:1"), "discovery": "dns"}, "dns"),
            ({"app": "shop", "discovery": "consul"}, "consul"),
        ],
    )
    def test_is_the_one_asked_for_or_goes_with_the_other_settings(self, given, name):
        assert discovery_name(Settings(**given)) == name

    def test_is_found_like_anybodys(self):
        assert isinstance(make_discovery("static", Settings()), StaticDiscovery)
        with pytest.raises(ConfigurationError, match="set FLY_APP_NAME"):
            make_discovery("dns", Settings())

    def test_that_is_not_installed_lists_those_that_are(self):
        with pytest.raises(ConfigurationError, match=r"'dsn'; did you mean 'dns'\? Known: dns, .*static"):
            make_discovery("dsn", Settings())


class TestTheSettings:
    def test_name_the_nodes_of_a_region(self):
        assert static("syd=a:1 b:1, lax=c:1").nodes("syd", AT_ONCE) == syd("a:1", "b:1")
        assert static("lax=c:1").nodes("syd", AT_ONCE) == ()

    def test_name_the_regions(self):
        assert static("syd=a:1, lax=c:1").regions(AT_ONCE) == ["lax", "syd"]

    @pytest.mark.parametrize(
        ("nodes", "text"),
        [
            ("", "FLY_ORM_NODES, which is not set"),
            ("syd=a:1", "FLY_ORM_NODES, which names the region syd"),
            ("syd=a:1, lax=c:1", "FLY_ORM_NODES, which names the regions lax and syd"),
            ("syd=a:1, lax=c:1, ams=d:1", "FLY_ORM_NODES, which names the regions ams, lax and syd"),
        ],
    )
    def test_are_named_in_messages(self, nodes, text):
        assert static(nodes).describe("gru") == text


class TestWhatIsReadFromText:
    @pytest.mark.parametrize(
        ("listen", "port"),
        [
            ("[::]:7000", 7000),
            ("127.0.0.1:7000", 7000),
            (":7000", 7000),
            ("7000", 7000),
            ("node.internal:7000", 7000),
            ("[::]", 7654),
            ("::", 7654),
            ("::1", 7654),
            ("localhost", 7654),
            ("127.0.0.1:0", 7654),
            ("127.0.0.1:70000", 7654),
            ("127.0.0.1:http", 7654),
            ("127.0.0.1:²", 7654),
            ("", 7654),
        ],
    )
    def test_a_port_is_what_nodes_listen_at(self, listen, port):
        assert port_of(listen) == port

    @pytest.mark.parametrize(
        ("records", "regions"),
        [
            ([], ()),
            ([[b""]], ()),
            ([[b"syd,ams, lax"]], ("ams", "lax", "syd")),
            ([[b"syd", b"ams"]], ("ams", "syd")),
            ([[b"syd"], [b"ams,syd"]], ("ams", "syd")),
        ],
    )
    def test_regions_come_in_any_number_of_strings(self, records, regions):
        assert parse_regions(records) == tuple(sorted(regions))

    def test_a_name_that_a_full_string_cuts_in_two_is_one(self):
        full = b"ams," * 63 + b"syd"
        assert len(full) == 255
        assert parse_regions([[full, b"ney"]]) == ("ams", "sydney")


class TestDns:
    def test_lists_the_machines_of_a_region_at_the_port_that_nodes_listen_at(self, discovery):
        assert discovery().nodes("syd", soon()) == syd("[fdaa::1]:7000", "[fdaa::2]:7000")

    def test_lists_the_regions(self, discovery):
        assert discovery().regions(soon()) == ("lax", "syd")

    def test_is_asked_once_while_its_answer_is_young(self, discovery, server):
        found = discovery()
        for _ in range(3):
            found.nodes("syd", soon())
            found.refresh("syd", soon())
        assert server.asked("syd") == 1

    def test_is_asked_once_by_many_callers(self, discovery, server):
        found = discovery()
        server.open.clear()
        with ThreadPoolExecutor(8) as pool:
            results = [pool.submit(found.nodes, "syd", soon()) for _ in range(8)]
            until(lambda: server.asked("syd"))
            server.open.set()
            assert {len(result.result()) for result in results} == {2}
        assert server.asked("syd") == 1

    def test_answers_anew_in_the_background_while_the_old_answer_serves(self, discovery, server):
        found = discovery(RESTLESS)
        old = found.nodes("syd", soon())
        until(lambda: not lookups())
        server.set("syd", "fdaa::3")
        server.open.clear()
        assert found.nodes("syd", soon()) == old
        until(lambda: server.asked("syd") == 2)
        assert found.nodes("syd", soon()) == old
        assert lookups()  # and nobody waited for the end of it
        server.open.set()
        until(lambda: found.nodes("syd", AT_ONCE) == syd("[fdaa::3]:7000"))

    @pytest.mark.parametrize("there", [True, False])
    def test_that_knows_no_machine_is_believed(self, discovery, server, there):
        found = discovery(RESTLESS)
        assert found.nodes("syd", soon())
        server.set("syd") if there else server.records.clear()
        found.refresh("syd", soon())
        assert found.nodes("syd", AT_ONCE) == ()
        said = "no AAAA record" if there else "NXDOMAIN"
        assert f"DNS: AAAA of syd.shop.internal at 127.0.0.1 gave {said} " in found.describe("syd")

    def test_says_what_it_gave(self, discovery):
        found = discovery()
        assert found.describe("syd") == "DNS: AAAA of syd.shop.internal at 127.0.0.1 has not been answered yet"
        found.nodes("syd", soon())
        said = r"DNS: AAAA of syd\.shop\.internal at 127\.0\.0\.1 gave 2 addresses \d+ s ago"
        assert re.fullmatch(said, found.describe("syd"))

    def test_of_which_application_has_to_be_known(self):
        with pytest.raises(ConfigurationError, match="set FLY_APP_NAME"):
            DnsDiscovery(Settings())

    def test_needs_dnspython_and_says_how_to_get_it(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "dns.exception", None)
        with pytest.raises(ConfigurationError, match="pip install 'dnspython>="):
            DnsDiscovery(Settings(app="shop"))

    def test_needs_a_server_to_ask(self, monkeypatch):
        def unconfigured():
            raise dns.resolver.NoResolverConfiguration("cannot open /etc/resolv.conf")

        monkeypatch.setattr("dns.resolver.Resolver", unconfigured)
        with pytest.raises(ConfigurationError, match=r"has no DNS server configured: cannot open"):
            DnsDiscovery(Settings(app="shop"))

    def test_asks_the_servers_of_the_system(self, monkeypatch, server):
        resolver = server.resolver()
        monkeypatch.setattr("dns.resolver.Resolver", lambda: resolver)
        assert len(DnsDiscovery(Settings(app="shop")).nodes("syd", soon())) == 2

    def test_is_not_imported_before_it_is_needed(self):
        code = (
            "import sys, fly_orm, fly_orm.discovery.dns as ours; from fly_orm.registry import make_discovery;"
            "make_discovery('static', fly_orm.Settings()); print('dns' in sys.modules)"
        )
        shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert shown.stdout.split() == ["False"]

    def test_works_in_a_forked_process_while_the_parent_asks(self, discovery, server):
        parents = discovery(timeout=5.0)
        server.open.clear()
        parents.refresh("syd", AT_ONCE)
        until(lambda: server.asked("syd"))
        threading.Timer(0.05, server.open.set).start()

        def child():
            assert len(discovery().nodes("syd", soon())) == 2

        in_child(child)


class TestRefresh:
    def test_waits_for_the_new_answer(self, discovery, server):
        found = discovery(RESTLESS)
        found.nodes("syd", soon())
        server.set("syd", "fdaa::3")
        found.refresh("syd", soon())
        assert found.nodes("syd", AT_ONCE) == syd("[fdaa::3]:7000")

    def test_waits_no_longer_than_the_deadline(self, discovery, server):
        found = discovery(CachePolicy(max_age=600, min_age=0))
        old = found.nodes("syd", soon())
        server.set("syd", "fdaa::3")
        server.open.clear()
        found.refresh("syd", AT_ONCE)
        assert found.nodes("syd", AT_ONCE) == old
        server.open.set()
        until(lambda: found.nodes("syd", AT_ONCE) == syd("[fdaa::3]:7000"))


class TestAServerThatFails:
    def test_takes_no_known_node_away_and_is_warned_of_once(self, discovery, server, caplog):
        caplog.set_level(logging.INFO, "fly_orm")
        found = discovery(RESTLESS)
        known = found.nodes("syd", soon())
        server.rcode = dns.rcode.SERVFAIL
        for _ in range(3):
            found.refresh("syd", soon())
        assert found.nodes("syd", AT_ONCE) == known
        assert re.search(r"gave SERVFAIL \d+ s ago, and 2 addresses \d+ s ago before that", found.describe("syd"))
        until(lambda: not lookups())
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        assert "the earlier answer stays in use" in caplog.text
        server.rcode = None
        found.refresh("syd", soon())
        until(lambda: len(caplog.records) == 2)
        server.rcode = dns.rcode.SERVFAIL
        found.refresh("syd", soon())
        until(lambda: len(caplog.records) == 3)
        assert [record.levelname for record in caplog.records] == ["WARNING", "INFO", "WARNING"]

    def test_is_not_asked_with_every_call(self, discovery, server):
        found = discovery(CachePolicy(max_age=0, retry_interval=600, min_age=0))
        found.nodes("syd", soon())
        server.rcode = dns.rcode.SERVFAIL
        found.refresh("syd", soon())
        asked = server.asked("syd")
        for _ in range(5):
            found.nodes("syd", AT_ONCE)
            until(lambda: not lookups())
        assert server.asked("syd") == asked

    @pytest.mark.parametrize("wanted", ["nodes", "regions"])
    def test_before_it_ever_answered_leaves_it_open_whether_there_are_nodes(self, discovery, server, wanted):
        server.rcode = dns.rcode.SERVFAIL
        found = discovery()
        with pytest.raises(NotDelivered, match=r"cannot find out w.*: DNS: .* at 127\.0\.0\.1 gave SERVFAIL \d+ s ago"):
            found.nodes("syd", soon()) if wanted == "nodes" else found.regions(soon())
        server.rcode = None
        assert len(found.nodes("syd", soon()) if wanted == "nodes" else found.regions(soon())) == 2

    def test_by_saying_nothing_is_given_up(self, discovery, server):
        server.open.clear()
        with pytest.raises(NotDelivered, match=r"gave no answer within 0\.1 s"):
            discovery(timeout=0.1).nodes("syd", soon())

    def test_is_waited_for_no_longer_than_the_deadline(self, discovery, server):
        server.open.clear()
        with pytest.raises(NotDelivered, match="has not been answered yet"):
            discovery(timeout=2.0).nodes("syd", Deadline.after(0.05))
