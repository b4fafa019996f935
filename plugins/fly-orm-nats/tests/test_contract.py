"""What holds for every transport, over one NATS server and over two."""

import pytest
from fly_orm_nats import NatsTransport
from split_transport import SplitTransport

from fly_orm.testing import TransportContract
from fly_orm.testing.contract.tools import node_of


class TestOneServer(TransportContract):
    transport = NatsTransport
    listen = "nats:syd"
    shares_addresses = True
    malformed_addresses = ("", "syd", "nats:", "nats:a b", "nats:*", "nats:a..b", "nats:>", "127.0.0.1:4222")
    remote_addresses = ("nats:syd",)


@pytest.mark.slow
class TestCluster(TestOneServer):
    """A node, and every process that is started, is on the first server, and this process connects over the second."""

    @pytest.fixture(autouse=True)
    def _there(self, monkeypatch, two_nats, _here):
        monkeypatch.setenv("NATS_URL", two_nats[0].url)

    @pytest.fixture
    def node(self, listen_at, two_nats):
        first, second = two_nats
        with node_of(SplitTransport(first.url, second.url), listen_at) as node:
            yield node
