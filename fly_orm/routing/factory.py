"""Which class a database's connections are made of."""

from __future__ import annotations

from psycopg2 import extensions as ext

from .connection import RoutingConnection
from .mixing import mix
from .read_only import ReadOnlyConnection
from .router import Router
from .watched import WatchedConnection


def connection_factory(router: Router, base: type[ext.connection] = ext.connection) -> type[ext.connection]:
    """The class of a database's connections, for psycopg2's ``connection_factory``; ``base`` is the user's own."""
    plain = mix(base, WatchedConnection, router=router)
    settings = router.settings
    read_only = settings.read_only and not settings.topology.is_primary
    cls = ReadOnlyConnection if read_only else RoutingConnection
    routed: type[ext.connection] = mix(base, cls, router=router, plain_class=plain)
    return routed
