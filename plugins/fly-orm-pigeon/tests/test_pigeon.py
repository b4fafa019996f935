from fly_orm_pigeon import PigeonTransport

from fly_orm.testing import TransportContract


class TestPigeon(TransportContract):
    transport = PigeonTransport
    listen = "127.0.0.1:0"
    malformed_addresses = ("", "host", "host:", "host:port", "host:70000", ":7654", "http://host:80", "host:80/path")
    remote_addresses = ("0.0.0.0:7654", "[::]:7654", "192.0.2.1:7654", "node.internal:7654")
