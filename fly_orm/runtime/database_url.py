"""The URL of the Postgres server in this region, on Fly.io."""

from __future__ import annotations

import logging
import re

from ..errors import ConfigurationError
from ..settings import Settings, database_url_from_environment
from ..topology import Topology

log = logging.getLogger("fly_orm")

#: In Fly.io's private DNS, the prefix for the nearest machine of an application. ``fly postgres attach`` writes
#: ``top2.nearest.of``, which is the two nearest.
_NEAREST = "top1.nearest.of."
#: The port at which each machine of Fly.io's Postgres passes connections on to the primary.
_PRIMARY_PORT = "5432"
#: The port of each machine's own server.
_SERVER_PORT = "5433"
#: Seconds for each host of a URL that has a second one. libpq's own default is no limit.
_CONNECT_TIMEOUT = 3

_URL = re.compile(r"(?P<scheme>[A-Za-z][\w+.-]*://)(?P<user>[^/?#]*@)?(?P<hosts>[^/?#]*)(?P<rest>.*)", re.DOTALL)
_HOST = re.compile(r"(?:top\d+\.nearest\.of\.)?(?P<app>[\w-]+\.internal)(?::(?P<port>\d*))?", re.IGNORECASE)
_FLYCAST = re.compile(rf"[\w-]+\.flycast(?::(?:{_PRIMARY_PORT})?)?", re.IGNORECASE)
_SERVER = re.compile(rf"(?:[\w-]+\.)*(?P<app>[\w-]+\.(?:internal|flycast)):{_SERVER_PORT}", re.IGNORECASE)


def database_url(url: str | None = None, *, fallback: bool = False, settings: Settings | None = None) -> str:
    """Rewrite the URL that Fly.io gives in ``DATABASE_URL``, so that it leads to the Postgres server in this region.

    ``url`` is used instead of ``DATABASE_URL`` if it is given, and ``settings`` instead of those of the environment. A
    host such as ``shop-db.internal``, or ``top2.nearest.of.shop-db.internal``, becomes
    ``top1.nearest.of.shop-db.internal``, the nearest machine. Outside the primary region, port 5432, or none, becomes
    5433, where each server listens itself. Everything else stays as it is: other ports, other hosts with their ports
    (such as machines named by their region), and a URL that was rewritten before. superfly's fly_postgres follows the
    same rules.

    With ``fallback``, a URL outside the primary region gets a second host, ``shop-db.internal:5432``, at which any
    machine passes connections on to the primary. libpq tries it while the first host does not accept connections, for
    at most 3 seconds each unless the URL has a ``connect_timeout``. The scheme ``postgres:`` becomes ``postgresql:``,
    the one in which peewee recognizes a URL. Hosts at other ports than 5432 and 5433 get no second host.

    A ``.flycast`` host leads to Fly.io's proxy, which cannot be told to choose the nearest machine. Outside the primary
    region, at port 5432, all reads go to the primary; a warning in the log says so.

    Raises ConfigurationError if there is no URL, or it is not valid.
    """
    topology = (settings or Settings.from_environment()).topology
    url = database_url_from_environment() if url is None else url
    if not url:
        raise ConfigurationError(
            "there is no DATABASE_URL in the environment: set it to the URL of this region's own Postgres server, such "
            "as postgresql://localhost/shop, or pass one. On Fly.io, `fly postgres attach` sets it"
        )
    match = _URL.fullmatch(url)
    if match is None:
        del url  # which a traceback with local variables would show
        raise ConfigurationError(
            "the database URL is not valid: it must look like 'postgres://USER:PASSWORD@shop-db.internal:5432/shop'"
        )
    hosts = _rewritten(match["hosts"].split(","), topology)
    scheme, rest = match["scheme"], match["rest"]
    if fallback and not topology.is_primary:
        hosts += [host for host in dict.fromkeys(map(_primary_of, hosts)) if host and host not in hosts]
        if scheme == "postgres://":
            scheme = "postgresql://"
        if len(hosts) > 1:
            rest = _with_timeout(rest)
    return f"{scheme}{match['user'] or ''}{','.join(hosts)}{rest}"


def _rewritten(hosts: list[str], topology: Topology) -> list[str]:
    made: list[str] = []
    for host in hosts:
        is_fallback = host in map(_primary_of, made)
        made.append(host if is_fallback else _nearest(host, primary=topology.is_primary))
        if not topology.is_primary and _FLYCAST.fullmatch(host) and not is_fallback:
            _warn(host, topology.region)
    return made


def _nearest(host: str, *, primary: bool) -> str:
    """The host, which may include a port, changed to the nearest machine if it is a name in Fly.io's private DNS."""
    match = _HOST.fullmatch(host)
    if match is None:
        return host
    port = match["port"]
    if not primary and port in (None, "", _PRIMARY_PORT):
        port = _SERVER_PORT
    return f"{_NEAREST}{match['app']}" + ("" if port is None else f":{port}")


def _primary_of(host: str) -> str | None:
    """Where the machines of this host's application pass connections on to the primary; None if that is not known."""
    match = _SERVER.fullmatch(host)
    return None if match is None else f"{match['app']}:{_PRIMARY_PORT}"


def _with_timeout(rest: str) -> str:
    """The part of a URL behind its hosts, with a limit for the attempt to connect to each of them."""
    if re.search(r"[?&]connect_timeout=", rest):
        return rest
    return f"{rest}{'&' if '?' in rest else '?'}connect_timeout={_CONNECT_TIMEOUT}"


_warned: set[str] = set()


def _warn(host: str, region: str) -> None:
    name = host.partition(":")[0]
    if name not in _warned:
        _warned.add(name)
        log.warning(
            "the database URL leads to %s, where Fly.io's proxy passes connections on to the primary, so that all "
            "reads in region %r leave the region; use %s.internal in DATABASE_URL instead, which fly_orm can rewrite "
            "to the nearest machine",
            name,
            region,
            name.rpartition(".")[0],
            extra={"event": "url_leads_to_proxy", "host": name, "region": region},
        )
