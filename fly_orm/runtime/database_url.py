"""The URL of the Postgres server in this region, on Fly.io."""

from __future__ import annotations

import re

from ..errors import ConfigurationError
from ..settings import Settings, database_url_from_environment

#: In Fly.io's private DNS, the prefix for the nearest machine of an application.
_NEAREST = "top1.nearest.of."
#: The port of each machine's own server. At port 5432, Fly.io's Postgres proxies connections to the primary.
_SERVER_PORT = "5433"

_URL = re.compile(r"(?P<scheme>[A-Za-z][\w+.-]*://)(?P<user>[^/?#]*@)?(?P<hosts>[^/?#]*)(?P<rest>.*)", re.DOTALL)
_HOST = re.compile(rf"(?P<nearest>{re.escape(_NEAREST)})?(?P<app>[\w-]+\.internal)(?::(?P<port>\d*))?", re.IGNORECASE)


def database_url(url: str | None = None, *, settings: Settings | None = None) -> str:
    """Rewrite the URL that Fly.io gives in ``DATABASE_URL``, so that it leads to the Postgres server in this region.

    ``url`` is used instead of ``DATABASE_URL`` if it is given, and ``settings`` instead of those of the environment. A
    host such as ``shop-db.internal`` becomes ``top1.nearest.of.shop-db.internal``, the nearest machine. Outside the
    primary region, port 5432, or none, becomes 5433, where each server listens itself. Everything else stays as it is:
    other ports, other hosts (``.flycast``, and machines named by their region) with their ports, and a URL that was
    rewritten before. superfly's fly_postgres follows the same rules.

    Raises ConfigurationError if there is no URL, or it is not valid.
    """
    url = database_url_from_environment() if url is None else url
    if not url:
        raise ConfigurationError(
            "there is no DATABASE_URL in the environment: attach a database with `fly postgres attach`, or pass a URL"
        )
    match = _URL.fullmatch(url)
    if match is None:
        raise ConfigurationError(
            "the database URL is not valid: it must look like 'postgres://USER:PASSWORD@shop-db.internal:5432/shop'"
        )
    topology = (settings or Settings.from_environment()).topology
    hosts = ",".join(_nearest(host, primary=topology.is_primary) for host in match["hosts"].split(","))
    return f"{match['scheme']}{match['user'] or ''}{hosts}{match['rest']}"


def _nearest(host: str, *, primary: bool) -> str:
    """The host, which may include a port, changed to the nearest machine if it is a name in Fly.io's private DNS."""
    match = _HOST.fullmatch(host)
    if match is None:
        return host
    port = match["port"]
    if not primary and port in (None, "", "5432"):
        port = _SERVER_PORT
    return f"{match['nearest'] or _NEAREST}{match['app']}" + ("" if port is None else f":{port}")
