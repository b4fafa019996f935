"""A transport whose two sides are connected to different servers of one cluster."""

from fly_orm_nats import NatsTransport
from fly_orm_nats.connect_options import ConnectOptions


def to(url):
    """A transport that connects to this server, wherever the environment says that NATS is."""
    return NatsTransport(options=ConnectOptions.from_environment({"NATS_URL": url}))


class SplitTransport:
    """Serves over one NATS server and connects over another."""

    def __init__(self, serving, connecting):
        self._serving, self._connecting = to(serving), to(connecting)

    def serve(self, listen, accept):
        return self._serving.serve(listen, accept)

    def connect(self, address, deadline):
        return self._connecting.connect(address, deadline)

    def is_local(self, address):
        return self._connecting.is_local(address)
