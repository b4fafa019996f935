"""Describes a node to the processes that inspect it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec
import psycopg2

from ..concurrency.timer import Timer
from ..deadline import now, wall_clock
from ..errors import FlyOrmError
from ..findings.version import VERSION
from ..findings.versions import driver_version
from ..local.surveying import survey
from ..postgres.libpq import break_off
from ..protocol.inspecting import MOST_CALLS, Described, Inspected, ServedDatabase
from ..routing.router import Router
from ..settings import Settings
from ..sharing.membership import Membership

#: Seconds that each server may take to answer.
ANSWER_TIMEOUT = 1.5
#: Seconds for which servers are not asked again, however many callers want to know.
MAX_AGE = 1.0


class Inspector:
    """Describes a node and the servers of its databases, which it asks for one caller at a time. Thread-safe."""

    def __init__(
        self, routers: Mapping[str, Router], timer: Timer, limits: Settings, membership: Membership | None = None
    ) -> None:
        self._worker = (0, 1) if membership is None else (membership.number + 1, membership.workers)
        self._pool_size = limits.pool_size if membership is None else membership.total
        self._routers = routers
        self._timer = timer
        self._limits = limits
        self._started = now()
        self._lock = threading.Lock()
        self._databases: list[ServedDatabase] = []
        self._asked_at = -MAX_AGE

    def inspect(self, leases: Iterable[str], calls: Sequence[str], *, channels: int, draining: bool) -> Inspected:
        """The state of the node, given the databases of the open leases and the names of the running functions."""
        held = Counter(leases)
        return Inspected(
            version=VERSION,
            driver=driver_version(),
            release=self._limits.release,
            databases=[_holding(database, held[database.name]) for database in self._asked()],
            pool_size=self._pool_size,
            channels=channels,
            calls=list(calls[:MOST_CALLS]),
            uptime=now() - self._started,
            time=wall_clock(),
            draining=draining,
            worker=self._worker[0],
            workers=self._worker[1],
        )

    def _asked(self) -> list[ServedDatabase]:
        with self._lock:  # other callers wait for these answers, instead of asking as well
            if now() - self._asked_at >= MAX_AGE:
                self._databases = [self._ask(name, router) for name, router in sorted(self._routers.items())]
                self._asked_at = now()
            return self._databases

    def _ask(self, name: str, router: Router) -> ServedDatabase:
        try:
            connection = router.connect()
        except (psycopg2.Error, FlyOrmError) as error:
            return ServedDatabase(name=name, problem=f"this node cannot connect to its server: {_text(error)}")
        try:
            with self._timer.limit(ANSWER_TIMEOUT, lambda: break_off(connection)):
                facts = survey(connection)
        except psycopg2.Error as error:
            return ServedDatabase(name=name, problem=f"the server of this node does not answer: {_text(error)}")
        finally:
            connection.close()
        if not facts.primary:
            router.primary_check.saw_replica(facts.run)
        return ServedDatabase(
            name=name,
            server=Described(
                primary=facts.primary,
                run=facts.run,
                address=facts.address,
                history=facts.history,
                confirmed=router.primary_check.confirms(facts.run),
            ),
            version=facts.version,
            role=facts.role,
            reads_all_stats=facts.reads_all_stats,
            superuser=facts.superuser,
            synchronous_commit=facts.settings.get("synchronous_commit", ""),
            lsn=facts.lsn,
            replay_age=None if facts.replay_age is None else max(0.0, facts.replay_age),
        )


def _text(error: Exception) -> str:
    return " ".join(str(error).split())


def _holding(database: ServedDatabase, leases: int) -> ServedDatabase:
    return msgspec.structs.replace(database, leases=leases)
