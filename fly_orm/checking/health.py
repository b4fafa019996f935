"""``fly_orm.check()``: whether this process can serve, for the health endpoint of an application."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from ..concurrency.forks import abandon_in_children
from ..deadline import Deadline, now
from ..findings.finding import Level
from ..findings.server import ServerFacts, server_findings
from ..parsing import given_timeout
from ..routing.router import Router, routers
from ..wrapping import router_of
from .parallel import Question
from .servers import LocalFacts, ask_server
from .writability import why_no_writes

Status = Literal["ready", "degraded", "live"]
#: Seconds for which an answer is good, so that many callers cost one question.
MAX_AGE = 2.0
#: Seconds after which a question ends, even if nobody waits for the answer any more.
_LIMIT = 5.0


@dataclass(frozen=True, kw_only=True)
class Health:
    """Whether this process can serve requests; returned by :func:`check`."""

    status: Status
    """``"ready"``: reads and writes work. ``"degraded"``: some of that does not work, or not well. ``"live"``: the
    process runs, but reads do not work, or it is not known whether they do."""
    problems: Sequence[str] = ()
    """What does not work, one sentence each; empty if everything works. They name servers and nodes: log them, and do
    not show them to strangers."""

    @property
    def ready(self) -> bool:
        """Whether the process should get requests: true if it is ready or degraded."""
        return self.status != "live"

    def as_json(self) -> dict[str, Any]:
        """The status and the problems as a dictionary that can be dumped as JSON."""
        return {"status": self.status, "problems": list(self.problems)}


def check(*databases: Any, timeout: float | None = 1.0) -> Health:
    """Whether this process can serve requests now, for the health endpoint of an application.

    Asks, for each of the databases (by default, all that are wrapped in this process), the local server and, in a
    secondary region, a node of the primary region. Answers are reused for two seconds, so callers may ask as often
    as they like. Nothing is written. The check takes at most about ``timeout`` seconds (0 only tells what is known;
    None is no limit). What has not answered by then counts as not working. Databases that are not bound yet are left
    out.

    Thread-safe. Raises ConfigurationError if ``timeout`` is not a timeout, or an object is not a wrapped database.
    """
    deadline = Deadline.after(given_timeout("timeout", timeout))
    known = [router_of(database) for database in databases] or routers()
    asked = [(router.name, _looks.ask(router)) for router in known if router.has_name]
    if not asked:
        return Health(status="live", problems=("no database is wrapped in this process",))
    found = [look.question.answer(deadline) or look.so_far(name, deadline) for name, look in asked]
    problems = tuple(problem for health in found for problem in health.problems)
    for status in ("live", "degraded"):
        if any(health.status == status for health in found):
            return Health(status=status, problems=problems)
    return Health(status="ready")


class _Look:
    """A look at one database, by a thread of its own."""

    def __init__(self, router: Router) -> None:
        self._reads_work = False
        self.question = Question(partial(self._look, router, Deadline.after(_LIMIT)))

    def so_far(self, name: str, deadline: Deadline) -> Health:
        """The health by a deadline at which the look has not ended."""
        if self._reads_work:
            problem = f"{name}: no node of the primary region answered within {deadline}, so writes may not work"
            return Health(status="degraded", problems=(problem,))
        return Health(status="live", problems=(f"{name}: the local server did not answer within {deadline}",))

    def _look(self, router: Router, deadline: Deadline) -> Health:
        name, local = router.name, ask_server(router, deadline)
        if local.server is None:
            problem = " ".join(local.problem.split())
            return Health(status="live", problems=(f"{name}: the local server cannot be reached: {problem}",))
        self._reads_work = True
        problems = tuple(f"{name}: {problem}" for problem in _problems(router, local, local.server, deadline))
        return Health(status="degraded" if problems else "ready", problems=problems)


def _problems(router: Router, local: LocalFacts, server: ServerFacts, deadline: Deadline) -> list[str]:
    """The problems of a database whose local server answers."""
    found = [each.message for each in server_findings("", server) if each.level is Level.ERROR]
    if local.wrong:
        return [*found, local.wrong]
    if server.primary:
        if router.local.detour.replaces_replica:
            found.append("the replica of this region cannot be reached, and connections lead to the far primary")
        if local.may_write:
            return found
    elif router.local.replica.look():
        found.append("the replica of this region is late")
    if router.settings.topology.primary_region is None:
        return found if server.primary else [*found, "the local server is a replica, and there is no other region"]
    problem = why_no_writes(router, deadline)
    return [*found, problem] if problem else found


class _Looks:
    """The latest question about each database, and its answer. Thread-safe and fork-safe."""

    def __init__(self) -> None:
        self.abandon()

    def abandon(self) -> None:
        """Forget the questions of the parent, whose threads this process does not have."""
        self._lock = threading.Lock()
        self._looks: weakref.WeakKeyDictionary[Router, tuple[float, _Look]] = weakref.WeakKeyDictionary()
        abandon_in_children(self)

    def ask(self, router: Router) -> _Look:
        """The look at a database: the last one if its answer is pending or recent, or else a new one."""
        with self._lock:
            began, look = self._looks.get(router, (0.0, None))
            if look is None or (look.question.ended and now() - began >= MAX_AGE):
                self._looks[router] = began, look = now(), _Look(router)
            return look


_looks = _Looks()
