"""A DNS server on loopback that says what a test tells it to."""

from __future__ import annotations

import socket
import threading

import dns.flags
import dns.message
import dns.rcode
import dns.resolver
import dns.rrset


class DnsServer:
    """Answers over UDP from :attr:`records`, and NXDOMAIN for every other name. Remembers what it was asked."""

    def __init__(self):
        self.records = {}
        """Texts of records by name and kind, such as ``{("syd.shop.internal.", "AAAA"): ["::1"]}``."""
        self.rcode = None
        """Answer everything with this code instead."""
        self.open = threading.Event()
        """While it is not set, questions are kept waiting; those that have waited are answered then."""
        self.open.set()
        self.queries = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, name="DNS server", daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.open.set()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
            own.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join()
        self._socket.close()

    def resolver(self):
        """A resolver that asks this server only."""
        resolver = dns.resolver.Resolver(configure=False)
        resolver.nameservers, resolver.port = ["127.0.0.1"], self.port
        return resolver

    def set(self, region, *addresses):
        """The machines of the application ``shop`` in a region."""
        self.records[f"{region}.shop.internal.", "AAAA"] = list(addresses)

    def asked(self, name):
        """How often a name of the application ``shop`` was asked for."""
        return self.queries.count(f"{name}.shop.internal.")

    def _serve(self):
        while True:
            wire, peer = self._socket.recvfrom(4096)
            if not wire:
                return
            query = dns.message.from_wire(wire)
            self.queries.append(query.question[0].name.to_text())
            self.open.wait()
            self._socket.sendto(self._answer(query).to_wire(), peer)

    def _answer(self, query):
        response = dns.message.make_response(query)
        question = query.question[0]
        name, kind = question.name.to_text(), dns.rdatatype.to_text(question.rdtype)
        if self.rcode is not None:
            response.set_rcode(self.rcode)
        elif (name, kind) not in self.records:
            response.set_rcode(dns.rcode.NXDOMAIN)
        elif self.records[name, kind]:
            response.answer.append(dns.rrset.from_text(name, 5, "IN", kind, *self.records[name, kind]))
        return response
