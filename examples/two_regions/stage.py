"""Two regions on one machine: two Postgres servers, a serving node, the app, and the distance between them."""

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
#: What the user's own shell may hold of these is not for the demo.
_OURS = ("DATABASE_URL", "FLY_", "MY_REGION", "PG", "PRIMARY_REGION")


class Visitor:
    """A process that visits the app."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.pid = process.pid

    def play(self, script: str) -> Iterator[Step]:
        """The steps of a script, each as soon as it is done."""
        self._process.tell(script)
        while (line := self._process.hear()) != END:
            yield Step.decode(line)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What takes part in the demo."""

    rtt: float
    syd_pid: int
    lax: Visitor
    direct: Visitor


@contextmanager
def two_regions(rtt: float) -> Iterator[Stage]:
    """Everything that takes part, with round trips of ``rtt`` seconds between the regions."""
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

        # lax: a replica, and the app, to which syd is 80 ms away.
        wan = undo.enter_context(Wan(address, rtt=rtt))
        lax = {**regions, "FLY_REGION": "lax", "FLY_ORM_NODES": f"syd={wan.address}"}
        lax["DATABASE_URL"] = _url(cluster.replica)
        in_lax = undo.enter_context(_python(f"{PACKAGE}.visitor", **lax))

        # To compare with: the same app without regions, connected straight to the primary over the same distance.
        straight = undo.enter_context(Wan(f"{cluster.primary.host}/.s.PGSQL.{cluster.primary.port}", rtt=rtt))
        url = f"postgresql://postgres@{straight.address}/{DATABASE}"
        direct = undo.enter_context(_python(f"{PACKAGE}.visitor", DATABASE_URL=url))

        yield Stage(rtt=rtt, syd_pid=serving.pid, lax=Visitor(in_lax), direct=Visitor(direct))


def _python(*arguments: str, **environment: str) -> Process:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    return Process(*arguments, environment={**inherited, **environment})


def _url(server: Server) -> str:
    return f"postgresql://postgres@/{DATABASE}?host={server.host}&port={server.port}"
