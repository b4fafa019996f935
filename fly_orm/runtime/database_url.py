"""What an application on Fly.io needs to find the Postgres server of its own region."""

from __future__ import annotations

import re

from ..errors import ConfigurationError
from ..settings import Settings, database_url_from_environment

#: The name of an application's nearest machine, in Fly.io's private DNS, begins so.
_NEAREST = "top1.nearest.of."
#: On 5432 Fly.io's Postgres passes connections on to the primary; here each machine's own server listens.
_SERVER_PORT = "5433"

_URL = re.compile(r"(?P<scheme>[A-Za-z][\w+.-]*://)(?P<user>[^/?#]*@)?(?P<hosts>[^/?#]*)(?P<rest>.*)", re.DOTALL)
_HOST = re.compile(rf"(?P<nearest>{re.escape(_NEAREST)})?(?P<app>[\w-]+\.internal)(?::(?P<port>\d*))?", re.IGNORECASE)


def database_url(url: str | None = None, *, settings: Settings | None = None) -> str:
    """The URL of the Postgres server in this region, made from the one that Fly.io puts in ``DATABASE_URL``.

    A host such as ``shop-db.internal`` becomes ``top1.nearest.of.shop-db.internal``, the nearest machine. Outside the
    primary region its port becomes 5433, where each server answers for itself, unless one other than 5432 is given. All
    else is kept as it is: other hosts (``.flycast``, machines that are named by region) with their ports, and a URL
    that was rewritten before. superfly's fly_postgres does the same.

    ConfigurationError if there is no URL, or if it is none.
    """
    url = database_url_from_environment() if url is None else url
    if not url:
        raise ConfigurationError(
            "there is no DATABASE_URL in the environment: attach a database (`fly postgres attach`), or pass a URL"
        )
    match = _URL.fullmatch(url)
    if match is None:
        raise ConfigurationError(
            "the database's URL is none: it has to begin as in 'postgres://USER:PASSWORD@shop-db.internal:5432/shop'"
        )
    topology = (settings or Settings.from_environment()).topology
    hosts = ",".join(_nearest(host, primary=topology.is_primary) for host in match["hosts"].split(","))
    return f"{match['scheme']}{match['user'] or ''}{hosts}{match['rest']}"


def _nearest(host: str, *, primary: bool) -> str:
    """The nearest of the machines that ``host``, with or without a port, means in Fly.io's private DNS."""
    match = _HOST.fullmatch(host)
    if match is None:
        return host
    port = match["port"]
    if not primary and port in (None, "", "5432"):
        port = _SERVER_PORT
    return f"{match['nearest'] or _NEAREST}{match['app']}" + ("" if port is None else f":{port}")
