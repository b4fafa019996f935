"""Requests for the state of a node and of its servers, and their replies."""

from __future__ import annotations

import msgspec

from ..lsn import LSN
from ..position import History
from .base import Answer, Message

#: The most functions that a node lists.
MOST_CALLS = 20


class Describe(Message, frozen=True, tag="describe"):
    """Tell which server a database of the node is on."""

    database: str


class Inspect(Message, frozen=True, tag="inspect"):
    """Report the state of the node and of the servers of its databases. This has no effect, and may be repeated."""


class Described(Answer, frozen=True, kw_only=True, tag="described"):
    """The server that a database of the node is on."""

    primary: bool
    """Whether it is not in recovery."""
    run: str
    """Identifies this run of the server: two servers, or two runs of one, never share it."""
    address: str
    """Its address, for messages."""
    history: History | None = None
    """None if the node's role may not ask for it."""
    confirmed: bool = False
    """Whether the node knows that this is the right system: its region is the primary one, or it has asked others."""


class ServedDatabase(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A database of the node, and its server."""

    name: str
    server: Described | None = None
    """None if the node cannot tell."""
    problem: str = ""
    """Why it cannot."""
    version: int = 0
    """The server's version as libpq reports it: 180006 is PostgreSQL 18.6."""
    role: str = ""
    """The role that the node logs in as."""
    reads_all_stats: bool = False
    """Whether that role may see what the server has sent to its replicas."""
    superuser: bool = False
    """Whether that role is a superuser."""
    synchronous_commit: str = ""
    leases: int = 0
    """How many callers hold a connection to it now."""
    lsn: LSN | None = None
    """The flush LSN of a primary, or the replay LSN of a replica."""
    replay_age: float | None = None
    """Seconds since the last commit that the replica has replayed, by the clocks of both servers."""


class Inspected(Answer, frozen=True, kw_only=True, tag="inspected"):
    """The state of the node."""

    version: str
    """The version of fly_orm that it runs."""
    driver: str
    """The version of its psycopg2."""
    release: str = ""
    """The release of the application."""
    time: float
    """The wall clock of its machine, in seconds since 1970."""
    uptime: float
    """Seconds since it began to serve."""
    databases: list[ServedDatabase] = []
    pool_size: int = 0
    """The most statements and transactions that run at a time in each database, and the most functions, of all
    workers together."""
    channels: int = 0
    """How many channels are open to it, including the one that carried the request."""
    calls: list[str] = []
    """The names of running functions, at most MOST_CALLS of them."""
    draining: bool = False
    """Whether it is shutting down."""
    worker: int = 0
    """Which of the node's workers has the channels, leases and calls, from 1; 0 if the node has one process."""
    workers: int = 1
    """How many workers the node has."""
