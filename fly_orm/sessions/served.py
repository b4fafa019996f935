"""How a statement, or a call of a function, was served."""

from __future__ import annotations

from dataclasses import dataclass

from ..observing.route import Route as Route


@dataclass(frozen=True, kw_only=True)
class Served:
    """Where a statement, or a function, was served, why, and what it cost."""

    route: Route
    why: str
    """A short clause that names the property of the statement, transaction or session that decided the route."""
    server: str | None = None
    """The server that executed it over this process's own connection, as ``address:port``; None if another node did."""
    node: str | None = None
    """The node that executed it, as ``region=address``; None if it ran in this process."""
    rpc: float = 0.0
    """Seconds from sending the request to receiving its reply."""
    wait: float = 0.0
    """Seconds spent waiting for the replica."""


#: Texts of plain reads that are remembered per server.
_PLAIN_READS = 4096


class ServedHere(dict[str, Served]):
    """The events of statements that one local server serves without a wait, by the reason; each is made once."""

    def __init__(self, server: str | None, route: Route = Route.LOCAL) -> None:
        self._server = server
        self._route = route
        self.plain_reads: dict[str, Served] = {}
        """The events of plain reads by their texts, so that the next one costs one lookup."""

    def __missing__(self, why: str) -> Served:
        event = self[why] = Served(route=self._route, why=why, server=self._server)
        return event

    def remember(self, text: str, why: str) -> None:
        """Remember the text of a plain read, which is one in every session."""
        if len(self.plain_reads) >= _PLAIN_READS:
            self.plain_reads.clear()  # as the classifier does
        self.plain_reads[text] = self[why]
