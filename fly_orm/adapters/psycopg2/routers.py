"""The routers of a process for the databases that its connection factories lead to: one for each."""

from __future__ import annotations

import threading
from collections.abc import Hashable
from functools import cache
from typing import Any
from weakref import WeakSet, WeakValueDictionary

from psycopg2 import extensions as ext

from ...concurrency.forks import abandon_in_children
from ...driver.mixing import mix
from ...postgres.connecting import parameters_in
from ...routing.arguments import Arguments
from ...routing.options import options_of
from ...routing.router import Router
from ...runtime.runtime import Runtime, default_runtime
from ...settings import Settings
from .wrapped import WrappedAddress

#: What decides which server a connection reaches, which database there, as whom, and what its session begins with.
#: Passwords, certificates and timeouts may differ from one connection to the next.
_IDENTITY = (
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "service",
    "options",
    "target_session_attrs",
    "load_balance_hosts",
)


class Routers:
    """Makes each router once, and finds it again as long as something refers to it. Thread-safe and fork-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._routers: WeakValueDictionary[Hashable, Router] = WeakValueDictionary()
        self._runtimes: WeakSet[Runtime] = WeakSet()
        """Those of settings that factories were given."""
        abandon_in_children(self)

    def to(self, dsn: str, kind: type[WrappedAddress], arguments: Arguments, settings: Settings | None) -> Router:
        """The router of the database that a connection string leads to, whose view of it is of class ``kind``.

        ConfigurationError if the string is malformed, or a setting is wrong.
        """
        parameters = parameters_in(dsn)
        with self._lock:
            runtime = default_runtime() if settings is None else self._runtime(settings)
            key = runtime, kind, arguments, *(parameters.get(name) for name in _IDENTITY)
            found = self._routers.get(key)
            if found is None:
                found = self._routers[key] = Router(kind(dsn, parameters), options_of(arguments, runtime))
            return found

    def abandon(self) -> None:
        """Replace the lock, which a thread of the parent may have held."""
        self._lock = threading.Lock()
        abandon_in_children(self)

    def _runtime(self, settings: Settings) -> Runtime:
        found = next((runtime for runtime in self._runtimes if runtime.settings == settings), None)
        if found is None:
            self._runtimes.add(found := Runtime(settings))
        return found


routers = Routers()


class UnroutedConnection(ext.connection):
    """psycopg2's own connection, where no primary region is configured."""

    defers_transactions = False
    """Without effect here; see :class:`fly_orm.driver.connection.RoutingConnection`."""


@cache
def plain_class(own: Any) -> Any:
    """The class of connections that are not routed, derived from the user's, if there is one."""
    return UnroutedConnection if own is None else mix(own, UnroutedConnection)
