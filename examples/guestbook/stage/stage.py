"""Three regions on one machine: servers, nodes, web servers, and the network between them."""

from __future__ import annotations

import json
import secrets
import socket
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime

from examples.two_regions.process import Process, ProcessFailed
from fly_orm.testing import Cluster
from fly_orm.testing.environment import inherited

from .gauge import Gauge
from .geography import CITIES, HOME, REGIONS
from .history import History
from .network import Network
from .receipt import FAR
from .servers import Servers
from .steps import Step

#: The regions in which the application also runs without fly_orm.
AWAY = tuple(region for region in REGIONS if region != HOME)
#: Seconds. The first write that a paused replica holds up waits that long.
REPLICATION_TIMEOUT = 2
#: What is said of visitors who do not wait in a way of their own.
_VISITS = {None: "Nobody visits any more.", FAR: "The visitors use the application without fly_orm."}


@dataclass(frozen=True, kw_only=True)
class Region:
    """A region as the control room shows it."""

    name: str
    city: str
    is_primary: bool
    """Whether it has the primary, or had it until the primary crashed."""
    server: str
    """What :meth:`Servers.state` says."""
    is_cut: bool
    has_node: bool
    has_web: bool


@dataclass(kw_only=True)
class _Web:
    """A web server: its process, and the region that it is in."""

    process: Process
    name: str
    address: tuple[str, int]
    ready: threading.Event = field(default_factory=threading.Event)
    complaint: str = ""

    @property
    def region(self) -> str:
        """Where it is."""
        return self.name.partition(" ")[0]

    @property
    def far(self) -> bool:
        """Whether it is without fly_orm."""
        return self.name.endswith(FAR)

    def wait_until_ready(self) -> None:
        """Return once it serves; ProcessFailed if it has ended."""
        self.ready.wait()
        if self.complaint:
            raise ProcessFailed(self.complaint)


class Stage:
    """Everything that runs. One thread at a time acts on it; the others wait."""

    def __init__(self, listeners: list[socket.socket], room: int, undo: ExitStack) -> None:
        """Start everything.

        ``listeners`` are those of the web servers, in the order of :func:`ports`, and ``room`` is the control room's
        port.
        """
        self.history = History()
        self.visitors: str | None = "eager"
        """How the visitors wait; ``far`` is without fly_orm, and None is that nobody comes."""
        self.events: deque[tuple[datetime, str]] = deque(maxlen=30)
        """What was done, the newest first."""
        self._acting = threading.RLock()
        self._undo = undo
        self._network = Network(undo)
        self._servers = Servers(undo.enter_context(Cluster.start()), self._network)
        self._secrets = {"FLY_ORM_SECRET": secrets.token_urlsafe(32), "SECRET_KEY": secrets.token_urlsafe(32)}
        self._prepare()
        self._nodes = {region: self._node(region) for region in REGIONS}
        self._ports = {name: each.getsockname()[1] for name, each in zip(ports(), listeners, strict=True)}
        self._ports["room"] = room
        self._webs = [self._web(name, each) for name, each in zip(ports(), listeners, strict=True)]
        for region in REGIONS:
            self._announce(region)
        for web in self._webs:
            web.wait_until_ready()
        self._servers.catch_up()
        undo.callback(Gauge(self._servers, self.history).close)
        self._tell()

    @property
    def secret_key(self) -> str:
        """The key of the cookies of everything that runs here."""
        return self._secrets["SECRET_KEY"]

    @property
    def primary(self) -> str:
        """The region of the primary."""
        return self._servers.primary

    def regions(self) -> list[Region]:
        """The state of each region."""
        with self._acting:
            return [self._region(name) for name in REGIONS]

    def visit(self, way: str | None) -> None:
        """Let visitors come in this way; None is not at all."""
        with self._doing(_VISITS.get(way, f"The visitors' way to wait is “{way}”.")):
            self.visitors = way
            self._tell()

    def pause(self, region: str) -> None:
        """Let the replica show nothing new."""
        with self._doing(f"The replica in {region} receives what is committed, but does not show it."):
            self._servers.pause(region)

    def resume(self, region: str) -> None:
        """Let the replica catch up."""
        with self._doing(f"The replica in {region} replays again."):
            self._servers.resume(region)

    def cut(self, region: str) -> None:
        """Let nothing reach the region."""
        with self._doing(f"{CITIES[region]} is cut off from the other regions."):
            self._network.cut(region)

    def heal(self, region: str) -> None:
        """Let the region be reached again."""
        with self._doing(f"{CITIES[region]} is connected again."):
            self._network.heal(region)

    def kill_node(self, region: str) -> None:
        """End the node of the region with SIGKILL."""
        with self._doing(f"The node in {region} was killed."):
            self._nodes[region].kill()

    def start_node(self, region: str) -> None:
        """Start the node of the region, if it does not run."""
        with self._doing(f"The node in {region} serves."):
            if not self._nodes[region].running:
                self._nodes[region] = self._node(region)
                self._announce(region)

    def start_server(self, region: str) -> None:
        """Start the Postgres server of the region, if it does not run."""
        with self._doing(f"The server in {region} runs again."):
            self._servers.start(region)

    def start_web(self, region: str) -> None:
        """Start the web servers of the region that do not run."""
        with self._doing(f"The web server in {region} serves again."):
            for at, web in enumerate(self._webs):
                if web.region == region and not web.process.running:
                    self._webs[at] = self._web(web.name, socket.create_server(web.address, backlog=128))
                    self._webs[at].wait_until_ready()
            self._tell()

    def promote(self, region: str) -> None:
        """Make the replica of a region the primary, which the other servers follow."""
        with self._doing(f"The server in {region} is the primary now, and the others follow it."):
            if region != self.primary:
                self._servers.promote(region)
                self._tell()

    @contextmanager
    def _doing(self, what: str) -> Iterator[None]:
        with self._acting:
            yield
            self.events.appendleft((datetime.now(), what))

    def _region(self, name: str) -> Region:
        return Region(
            name=name,
            city=CITIES[name],
            is_primary=name == self.primary,
            server=self._servers.state(name),
            is_cut=name in self._network.cut_off,
            has_node=self._nodes[name].running,
            has_web=all(web.process.running for web in self._webs if web.region == name),
        )

    def _prepare(self) -> None:
        with Process("examples.guestbook.stage.first_posts", environment=self._environment(HOME)) as process:
            process.finish()
        self._servers.catch_up()

    def _environment(self, region: str) -> dict[str, str]:
        """The variables of a process of the application."""
        return {
            **inherited(),
            **self._secrets,
            "PRIMARY_REGION": HOME,
            "FLY_REGION": region,
            "FLY_ORM_NODES": self._network.nodes_seen_from(region),
            "FLY_ORM_REPLICATION_TIMEOUT": str(REPLICATION_TIMEOUT),
            "DATABASE_URL": self._servers.url(region),
        }

    def _far_environment(self, region: str) -> dict[str, str]:
        """The variables of the same application as if its region were the primary one, so that fly_orm does nothing."""
        own = {"PRIMARY_REGION": region, "FLY_REGION": region, "DATABASE_URL": self._servers.far_url(region)}
        return {**inherited(), **self._secrets, **own}

    def _node(self, region: str) -> Process:
        environment = self._environment(region)
        return self._undo.enter_context(Process("examples.guestbook.stage.node", environment=environment))

    def _announce(self, region: str) -> None:
        """Lead the network to a node that was started, once it serves."""
        self._network.node_is_at(region, self._nodes[region].hear().split()[-1])

    def _web(self, name: str, listener: socket.socket) -> _Web:
        """Start a web server that listens at this socket."""
        region, _, far = name.partition(" ")
        process = Process(
            "examples.guestbook.stage.web", region, "--fd", str(listener.fileno()), "--primary", HOME,
            "--ports", json.dumps(self._ports), *(["--far"] if far else []),
            environment=self._far_environment(region) if far else self._environment(region),
            pass_fds=(listener.fileno(),),
        )  # fmt: skip
        web = _Web(process=self._undo.enter_context(process), name=name, address=listener.getsockname()[:2])
        threading.Thread(target=self._listen, args=(web,), name=f"web {name}", daemon=True).start()
        listener.close()  # so that nobody waits for an answer once the web server has ended
        return web

    def _listen(self, web: _Web) -> None:
        """Take in what a web server reports, until it ends."""
        try:
            while True:
                told = json.loads(web.process.hear())
                if told["kind"] == "ready":
                    web.ready.set()
                else:
                    taken = [Step.decode(step) for step in told["steps"]]
                    self.history.served(web.region, taken, missed=told.get("missed", False))
        except (ProcessFailed, ValueError) as error:  # ValueError: the pipe was closed
            web.complaint = str(error)
            web.ready.set()

    def _tell(self) -> None:
        """Tell the web servers that run where the primary is, and who visits them."""
        for web in self._webs:
            far = self.visitors == FAR and web.region in AWAY
            told = json.dumps({"primary": self.primary, "visit": self.visitors if far == web.far else None})
            with suppress(ProcessFailed):  # it will be told when it is started again
                web.process.tell(told)


def ports() -> list[str]:
    """What each port is for, in order: the regions, and those of them without fly_orm."""
    return [*REGIONS, *(f"{region} {FAR}" for region in AWAY)]
