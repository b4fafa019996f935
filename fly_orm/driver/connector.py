"""The connections that a wrapped database opens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import psycopg2
from psycopg2 import extensions as ext

from ..deadline import now
from ..errors import FlyOrmError, NotSupported
from ..postgres.connecting import hiding_passwords
from ..postgres.libpq import was_lost
from ..routing.router import Router
from .connection import RoutingConnection
from .direct import DirectConnection
from .explaining import explain_refusals
from .mixing import mix
from .read_only import ReadOnlyConnection
from .unchecked import UncheckedConnection

#: Parameters of ``psycopg2.connect`` that replace psycopg2's own connection or cursor class.
_FACTORIES = ("connection_factory", "cursor_factory")
#: The classes of the connections that reach a replica, and of those that reach the primary.
_OPENED_HERE = (RoutingConnection, DirectConnection)
_ADVICE = "let it pass on all the parameters that it is given, connection_factory among them, to psycopg2.connect()"
#: Lets a connection that only waits notice within seconds that its server is gone. The database's own parameters win.
_KEEPALIVE = {
    "connect_timeout": 3,  # shorter than a request takes at most, so that it can be refused in time
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 8000,
}
#: Seconds after an attempt to open a connection in place of one that is lost until the next one, if it succeeds. A pool
#: may have many connections to replace.
CONNECTS_FOR = 1.0
#: The same if it fails: ten times what it took, within these bounds. A server that is down mostly refuses at once.
RETRY_INTERVALS = (0.25, 5.0)


def unrouted(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a database, for a connection that fly_orm itself uses."""
    return {**_KEEPALIVE, **{name: value for name, value in parameters.items() if name not in _FACTORIES}}


def retry_interval(took: float) -> float:
    """Seconds after an attempt in vain, which took so many, until the next one."""
    least, most = RETRY_INTERVALS
    return min(max(least, 10 * took), most)


class Connector:
    """Opens the connections of one database; those that reach a replica are routed. Thread-safe."""

    def __init__(self, router: Router, *, defers_transactions: bool = False) -> None:
        """``defers_transactions`` is the initial value of that attribute of the connections.

        It holds from their first statement on, before the library can set it.
        """
        self._router = router
        self._defers_transactions = defers_transactions
        self._classes: dict[Any, type[ext.connection]] = {}
        self._connect_at, self._connects = 0.0, False

    def open(self, connect: Callable[..., Any], *args: Any, **parameters: Any) -> Any:
        """What ``connect`` returns, given the class of a routing connection as ``connection_factory``.

        The class derives from the ``connection_factory`` among the parameters, if there is one. Raises NotSupported if
        that is not a class, or if ``connect`` has returned a connection of another class.

        Where no primary region is configured, it returns what ``connect`` returns by itself, and only lets a replica
        explain why it refuses to write.
        """
        if self._router.settings.topology.primary_region is None:
            connection = connect(*args, **parameters)
            explain_refusals(connection)
            self._router.announce(connection)
            return connection
        own = parameters.pop("connection_factory", None) or ext.connection
        try:
            connection = hiding_passwords(lambda: connect(*args, connection_factory=self._class(own), **parameters))
        except psycopg2.OperationalError as error:
            if isinstance(error, FlyOrmError) or self._router.settings.topology.is_primary:
                raise
            raise self._with_hint(error) from error
        self.check(connection, "what connects for this database", _ADVICE)
        self._router.announce(connection)
        return connection

    def check(self, connection: Any, opener: str, advice: str) -> None:
        """Close a new connection and raise NotSupported if something else has opened it that would have to be routed.

        ``opener`` and ``advice`` are for the message: what has opened it, and what to do about that.
        """
        if self._router.settings.topology.primary_region is None or isinstance(connection, _OPENED_HERE):
            return
        connection.close()
        message = f"{opener} opens connections by itself, so that fly_orm cannot route them; {advice}"
        raise self._router.driver_error(NotSupported(message))

    def is_outdated(self, connection: Any) -> bool:
        """Whether a pool should close a connection and open another one in its place. Asks no server.

        That is so if it was opened while the region's replica could not be reached, and leads to the far primary,
        although the replica can be reached again. It is so, too, if no node could tell whether its server is the
        primary, and one can by now; and if a pooler leads to a primary or a replica that led to the other.
        """
        if getattr(connection, "moved", False):
            return True
        if isinstance(connection, UncheckedConnection) and self._router.primary_check.confirms_soon(connection.run):
            return True
        return self._router.local.detour.is_over(getattr(connection, "detour", None))

    def is_past_use(self, connection: Any) -> bool:
        """Whether an idle connection has lost its server, and another one can be opened in its place.

        As long as none can, because the region's replica is down, a routing connection still serves writes and whatever
        else runs on the primary. That is found out by connecting, with pauses that are longer the longer it takes.
        """
        if not was_lost(connection):
            return False
        if connection.closed or not isinstance(connection, RoutingConnection):
            return True
        started = now()
        if started >= self._connect_at:
            try:
                self._router.connect().close()
                self._connects = True
            except psycopg2.OperationalError:
                self._connects = False
            ended = now()
            self._connect_at = ended + (CONNECTS_FOR if self._connects else retry_interval(ended - started))
        return self._connects

    def _class(self, own: Any) -> type[ext.connection]:
        if not isinstance(own, type):
            message = (
                "connection_factory must be a class derived from psycopg2's connection. The connections of a wrapped "
                "database are routed without fly_orm.connection_factory(); leave out one of the two"
            )
            raise self._router.driver_error(NotSupported(message))
        return self._classes.get(own) or self._classes.setdefault(own, self._derive(own))

    def _derive(self, own: Any) -> type[ext.connection]:
        router, settings = self._router, self._router.settings
        shared = {"router": router, "defers_transactions": self._defers_transactions}
        direct = mix(own, DirectConnection, **shared)
        kind = ReadOnlyConnection if settings.takes_server_for_replica else RoutingConnection
        unchecked = mix(own, UncheckedConnection, **shared)
        routed: type[ext.connection] = mix(own, kind, direct_class=direct, unchecked_class=unchecked, **shared)
        return routed

    def _with_hint(self, error: psycopg2.OperationalError) -> psycopg2.OperationalError:
        """The driver's error, with a hint which server the address has to reach."""
        region = self._router.settings.topology.region
        return type(error)(
            f"{str(error).rstrip()}\nIn region {region!r} the database's address must be that of the region's own "
            "replica. If the region has no replica, use the primary's address; writes then go there directly. "
            "To go on while the replica is down, add the primary as a second host (host=replica,primary)."
        )
