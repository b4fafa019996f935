"""What the author of a transport says about it, and what every test is given."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import pytest

from fly_orm.errors import NotDelivered, OutcomeUnknown
from fly_orm.transport import Transport

from .processes import Processes
from .tools import SOON, Node, node_of


class Setting:
    """The transport that is tested. The first two have no default."""

    #: What makes the transport, importable by its name: what the entry point refers to.
    transport: ClassVar[Callable[[], Any]]
    #: An address to serve at, such as ``127.0.0.1:0``; the same for each test, one after the other.
    listen: ClassVar[str]
    #: Whether another process can connect. If not, the tests with other processes are skipped.
    crosses_processes: ClassVar[bool] = True
    #: Whether several servers, of several processes, may serve at one address.
    shares_addresses: ClassVar[bool] = False
    #: A peer that has died, hung up or turned away is noticed within so many seconds.
    notice_timeout: ClassVar[float] = SOON
    #: What is not an address.
    malformed_addresses: ClassVar[Sequence[str]] = ("",)
    #: Addresses that other machines may be able to connect to.
    remote_addresses: ClassVar[Sequence[str]] = ()

    #: What exchange raises over a channel that has lost its server, which may or may not have been noticed yet.
    undelivered = (NotDelivered, OutcomeUnknown)

    @classmethod
    def new_transport(cls) -> Transport:
        """Another instance of the transport."""
        transport: Transport = cls.transport()
        return transport

    @pytest.fixture
    def listen_at(self) -> str:
        """The address to serve at. Override it where the address depends on other fixtures."""
        return self.listen

    @pytest.fixture
    def node(self, listen_at: str) -> Iterator[Node]:
        """Serves and connects over the transport, and closes all of it in the end."""
        with node_of(self.new_transport(), listen_at) as node:
            yield node

    @pytest.fixture
    def processes(self, listen_at: str) -> Iterator[Processes]:
        """Starts other processes that serve and connect over the transport, and ends them."""
        if not self.crosses_processes:
            pytest.skip("the transport stays within one process")
        started = Processes(type(self).transport, listen_at)
        try:
            yield started
        finally:
            started.close()
