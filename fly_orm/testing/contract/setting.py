"""What the author of a transport declares about it, and the fixtures of the tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import pytest

from fly_orm.errors import NotDelivered, OutcomeUnknown
from fly_orm.registry import build_transport
from fly_orm.settings import Settings
from fly_orm.transport import Transport

from .processes import Processes
from .tools import Node, node_of


class Setting:
    """The transport under test. The first two attributes have no default."""

    #: The factory that the entry point refers to, called with the settings if it takes an argument. Importable by name.
    transport: ClassVar[Callable[..., Any]]
    #: An address to serve at, such as ``127.0.0.1:0``; the same for each test, one after the other.
    listen: ClassVar[str]
    #: The transport options that the transport is made with.
    options: ClassVar[Mapping[str, str]] = {}
    #: Whether another process can connect. If not, the tests with other processes are skipped.
    crosses_processes: ClassVar[bool] = True
    #: Whether several servers, of several processes, may serve at one address.
    shares_addresses: ClassVar[bool] = False
    #: Seconds within which it is noticed that a peer has died, or has closed or dropped a channel.
    notice_timeout: ClassVar[float] = 10.0
    #: Texts that are not addresses of the transport.
    malformed_addresses: ClassVar[Sequence[str]] = ("",)
    #: Addresses that other machines may be able to connect to.
    remote_addresses: ClassVar[Sequence[str]] = ()

    #: What exchange raises over a channel that has lost its server, whether or not this has been noticed yet.
    undelivered = (NotDelivered, OutcomeUnknown)

    @classmethod
    def new_transport(cls) -> Transport:
        """Another instance of the transport."""
        transport: Transport = build_transport(cls.transport, Settings(transport_options=cls.options))
        return transport

    @pytest.fixture
    def listen_at(self) -> str:
        """The address to serve at. Override this fixture where the address depends on other fixtures."""
        return self.listen

    @pytest.fixture
    def node(self, listen_at: str) -> Iterator[Node]:
        """Serves and connects over the transport, and closes everything in the end."""
        with node_of(self.new_transport(), listen_at) as node:
            yield node

    @pytest.fixture
    def processes(self, listen_at: str) -> Iterator[Processes]:
        """Starts other processes that serve and connect over the transport, and ends them."""
        if not self.crosses_processes:
            pytest.skip("the transport stays within one process")
        started = Processes(type(self).transport, listen_at, self.options)
        try:
            yield started
        finally:
            started.close()
