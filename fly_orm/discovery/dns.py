"""Finds nodes in Fly.io's private DNS, which lists the machines of an application.

See https://fly.io/docs/networking/private-networking/.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ..deadline import Deadline
from ..errors import ConfigurationError
from ..settings import Settings
from ..topology import Node
from .lookup import CachePolicy, Lookup, LookupFailed

if TYPE_CHECKING:
    from dns.resolver import Resolver

#: The port of the nodes, unless ``FLY_ORM_LISTEN`` gives another one.
DEFAULT_PORT = 7654
#: Seconds for one question, within which it is sent up to three times.
LOOKUP_TIMEOUT = 2.0
#: The longest string in a TXT record (RFC 1035, section 3.3). A longer text is split into several strings.
_MAX_STRING = 255


class DnsDiscovery:
    """The machines of ``FLY_APP_NAME`` in each region, at the port of ``FLY_ORM_LISTEN``.

    See :class:`fly_orm.discovery.Discovery`. An answer that is older than half a minute is refreshed in the background.
    While the DNS servers fail, the last answer stays in use.

    resolver: asks the DNS servers; by default, those of the system.
    policy: when answers are refreshed.
    timeout: seconds for one question.

    ConfigurationError if the settings name no application, dnspython is not installed, or the system has no DNS server.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        resolver: Resolver | None = None,
        policy: CachePolicy | None = None,
        timeout: float = LOOKUP_TIMEOUT,
    ) -> None:
        if not settings.app:
            raise ConfigurationError("FLY_ORM_DISCOVERY=dns needs the name of the application: set FLY_APP_NAME")
        self._domain = f"{settings.app}.internal"
        self._port = port_of(settings.listen)
        self._resolver = resolver or _system_resolver(timeout)
        self._policy = policy or CachePolicy()
        self._timeout = timeout
        self._lock = threading.Lock()
        self._by_region: dict[str, Lookup[Sequence[Node]]] = {}
        self._regions: Lookup[Sequence[str]] = Lookup(
            "which regions there are", self._question("regions", "TXT"), self._ask_for_regions, self._policy
        )

    def nodes(self, region: str, deadline: Deadline) -> Sequence[Node]:
        return self._lookup(region).get(deadline)

    def regions(self, deadline: Deadline) -> Sequence[str]:
        return self._regions.get(deadline)

    def refresh(self, region: str, deadline: Deadline) -> None:
        self._lookup(region).refresh(deadline)

    def describe(self, region: str) -> str:
        return str(self._lookup(region))

    def _lookup(self, region: str) -> Lookup[Sequence[Node]]:
        with self._lock:
            if region not in self._by_region:
                self._by_region[region] = Lookup(
                    f"where the nodes of region {region!r} are",
                    self._question(region, "AAAA"),
                    lambda: self._ask_for_nodes(region),
                    self._policy,
                )
            return self._by_region[region]

    def _question(self, label: str, kind: str) -> str:
        servers = ", ".join(map(str, self._resolver.nameservers))
        return f"DNS: {kind} of {label}.{self._domain} at {servers}"

    def _ask_for_nodes(self, region: str) -> tuple[Sequence[Node], str]:
        records, problem = self._records(region, "AAAA")
        addresses = sorted(record.address for record in records)
        nodes = tuple(Node(region=region, address=f"[{address}]:{self._port}") for address in addresses)
        return nodes, problem or f"{len(nodes)} address{'es' if len(nodes) > 1 else ''}"

    def _ask_for_regions(self) -> tuple[Sequence[str], str]:
        records, problem = self._records("regions", "TXT")
        regions = parse_regions(record.strings for record in records)
        return regions, problem or repr(",".join(regions))

    def _records(self, label: str, kind: str) -> tuple[Sequence[Any], str]:
        """The records of a name, or none and the reason in words; LookupFailed if the servers gave no answer."""
        from dns.exception import DNSException, Timeout
        from dns.resolver import NXDOMAIN, NoNameservers

        name = f"{label}.{self._domain}."
        # Neither NXDOMAIN nor an empty answer is a failure: Fly.io has no name for a region without machines.
        try:
            answer = self._resolver.resolve(name, kind, search=False, raise_on_no_answer=False, lifetime=self._timeout)
        except NXDOMAIN:
            return (), "NXDOMAIN"
        except NoNameservers as error:
            problems = dict.fromkeys(str(problem) for _, _, _, problem, _ in error.kwargs["errors"])
            raise LookupFailed(", ".join(problems)) from error
        except Timeout as error:
            raise LookupFailed(f"no answer within {self._timeout:g} s") from error
        except (DNSException, OSError) as error:
            raise LookupFailed(f"{type(error).__name__}: {error}") from error
        return tuple(answer), "" if answer else f"no {kind} record"


def port_of(listen: str) -> int:
    """The port in a listening address such as ``[::]:7654``; the default port if there is none, or if it is 0."""
    host, _, port = listen.rpartition(":")
    if not (port.isascii() and port.isdecimal()) or (":" in host and not host.endswith("]")):
        return DEFAULT_PORT
    return int(port) if 0 < int(port) < 65536 else DEFAULT_PORT


def parse_regions(records: Iterable[Sequence[bytes]]) -> Sequence[str]:
    """The region names in TXT records such as ``"ams,lax,syd"``, sorted."""
    text = ",".join(
        "".join(part.decode("ascii", "replace") + ("" if len(part) == _MAX_STRING else ",") for part in strings)
        for strings in records
    )
    return tuple(sorted({name.strip() for name in text.split(",")} - {""}))


def _system_resolver(timeout: float) -> Resolver:
    """A resolver that asks the system's DNS servers; ConfigurationError if there are none."""
    try:
        from dns.exception import DNSException
        from dns.resolver import Resolver
    except ImportError as error:
        raise ConfigurationError(
            "finding nodes by DNS needs dnspython: pip install 'dnspython>=2.4,<3' (or list the nodes in FLY_ORM_NODES)"
        ) from error
    try:
        resolver = Resolver()
    except (DNSException, OSError) as error:
        raise ConfigurationError(
            f"cannot find nodes by DNS, because the system has no DNS server configured: {error}; check "
            "/etc/resolv.conf, or list the nodes in FLY_ORM_NODES"
        ) from error
    resolver.timeout = timeout / 3
    return resolver
