"""Two regions on one machine: two Postgres servers, a node, the app, and the network between the regions."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from fly_orm.testing import Cluster, Server, Wan

from .process import Process
from .step import END, Step

PACKAGE = __package__
DATABASE = "blog"
#: Prefixes of the variables that the demo sets itself, and so does not inherit from the user's shell.
_OURS = ("DATABASE_URL", "FLY_", "MY_REGION", "PG", "PRIMARY_REGION")


class Visitor:
    """A process that uses the app, over a network link of its own."""

    def __init__(self, process: Process, wan: Wan) -> None:
        self._process = process
        self._wan = wan
        self.pid = process.pid

    @property
    def round_trips(self) -> int:
        """The number of round trips between the regions so far."""
        return self._wan.round_trips

    def play(self, script: str) -> Iterator[Step]:
        """Play a script; yields each step as soon as it is done."""
        self._process.tell(script)
        while (line := self._process.hear()) != END:
            yield Step.decode(line)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """The processes of the demo."""

    rtt: float
    syd_pid: int
    lax: Visitor
    another: Visitor
    """A second visitor in lax, so that two can work at the same time."""
    direct: Visitor


@contextmanager
def two_regions(rtt: float) -> Iterator[Stage]:
    """Start everything, with round trips of ``rtt`` seconds between the regions."""
    with ExitStack() as undo:
        cluster = undo.enter_context(Cluster.start(replication_rtt=rtt))
        cluster.create_database(DATABASE)
        cluster.wait_for_replica()
        regions = {"PRIMARY_REGION": "syd", "FLY_ORM_SECRET": secrets.token_hex(32)}

        # syd: the primary, and a node that executes what the nodes of other regions forward.
        url = _url(cluster.primary)
        syd = {**regions, "FLY_REGION": "syd", "FLY_ORM_LISTEN": "127.0.0.1:0", "DATABASE_URL": url}
        serving = undo.enter_context(_python("fly_orm", "serve", f"{PACKAGE}.app:db", **syd))
        address = serving.hear().rpartition(" ")[2]  # fly-orm: serving blog at 127.0.0.1:40123

        # lax: a replica and the app, ``rtt`` away from syd.
        lax = {**regions, "FLY_REGION": "lax", "DATABASE_URL": _url(cluster.replica)}
        in_lax = []
        for _ in range(2):
            wan = undo.enter_context(Wan(address, rtt=rtt))
            process = _python(f"{PACKAGE}.visitor", **lax, FLY_ORM_NODES=f"syd={wan.address}")
            in_lax.append(Visitor(undo.enter_context(process), wan))

        # For comparison: the same app without regions, connected straight to the primary over the same distance.
        straight = undo.enter_context(Wan(f"{cluster.primary.host}/.s.PGSQL.{cluster.primary.port}", rtt=rtt))
        url = f"postgresql://postgres@{straight.address}/{DATABASE}"
        direct = Visitor(undo.enter_context(_python(f"{PACKAGE}.visitor", DATABASE_URL=url)), straight)

        yield Stage(rtt=rtt, syd_pid=serving.pid, lax=in_lax[0], another=in_lax[1], direct=direct)


def _python(*arguments: str, **environment: str) -> Process:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    return Process(*arguments, environment={**inherited, **environment})


def _url(server: Server) -> str:
    return f"postgresql://postgres@/{DATABASE}?host={server.host}&port={server.port}"
