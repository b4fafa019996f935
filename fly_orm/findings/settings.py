"""Findings that follow from the settings of a process alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..errors import ConfigurationError
from ..protocol.expiry import RENEW
from ..protocol.strength import weakness
from ..settings import Settings
from .finding import Finding, error, ok, warning


def settings_findings(
    settings: Settings, is_local: Callable[[str], bool], misspelt: Mapping[str, str] = {}
) -> list[Finding]:
    """Findings about the settings, without any network access.

    ``is_local`` says whether only this machine can reach an address. ``misspelt`` maps environment variables that
    resemble one of fly_orm's to that one.
    """
    findings = [_misspelt(given, meant) for given, meant in sorted(misspelt.items())]
    findings.append(_secret(settings, is_local))
    findings += tls_findings(settings)
    findings += _limits(settings)
    return findings


def _misspelt(given: str, meant: str) -> Finding:
    return warning(
        "settings",
        f"the environment variable {given} is set, but fly_orm does not read it",
        f"If you mean {meant}, correct the name",
    )


def _secret(settings: Settings, is_local: Callable[[str], bool]) -> Finding:
    secrets = settings.secrets
    problem = weakness(secrets)
    if problem is None:
        several = f"; {len(secrets)} values, for a rotation" if len(secrets) > 1 else ""
        return ok("secret", f"FLY_ORM_SECRET is set and hard to guess{several}")
    what = "could be guessed" if secrets else "is not set"
    advice = "Set the output of `fly-orm secret` here and in all other processes"
    remote = _remote(settings, is_local)
    if not remote:
        return ok(
            "secret", f"FLY_ORM_SECRET {what}, which is allowed because all addresses are on this machine", advice
        )
    return error("secret", f"FLY_ORM_SECRET {what}, and {remote[0]}", advice)


def _remote(settings: Settings, is_local: Callable[[str], bool]) -> list[str]:
    """Clauses that name the addresses in the settings which involve other machines."""
    nodes = [node for listed in settings.nodes.values() for node in listed if not _local(is_local, node.address)]
    found = [f"{node} is on another machine" for node in nodes]
    if not _local(is_local, settings.listen):
        found.append(f"FLY_ORM_LISTEN={settings.listen} can be reached from other machines")
    if settings.app and not settings.nodes and settings.topology.primary_region is not None:
        found.append(f"the nodes of {settings.app!r} are on other machines")
    return found


def _local(is_local: Callable[[str], bool], address: str) -> bool:
    try:
        return is_local(address)
    except ConfigurationError:  # reported when it is used
        return True


def listening_findings(settings: Settings, address: str, is_local: Callable[[str], bool]) -> list[Finding]:
    """A warning if only this machine can reach the address of a node, and other machines should."""
    elsewhere = [
        node for node in settings.nodes.get(settings.topology.region, ()) if not _local(is_local, node.address)
    ]
    if not _local(is_local, address) or not (elsewhere or (settings.app and not settings.nodes)):
        return []
    where = f"at {elsewhere[0]}" if elsewhere else f"at the machines of {settings.app!r}"
    return [
        warning(
            "node",
            f"this node serves at {address}, which only this machine can reach, but others look for it {where}",
            "Set FLY_ORM_LISTEN to [::]:PORT, with the port that they use",
        )
    ]


def tls_findings(settings: Settings) -> list[Finding]:
    """Whether the files of the certificate can be used, if there are any."""
    try:
        tls = settings.tls()
    except ConfigurationError as problem:
        return [error("tls", str(problem), "Correct FLY_ORM_TLS_CERT, FLY_ORM_TLS_KEY and FLY_ORM_TLS_CA")]
    if tls is None:
        return []
    advice = RENEW[0].upper() + RENEW[1:]
    found = [(error if each.is_late else warning)("tls", str(each), advice) for each in tls.to_renew()]
    return [ok("tls", "channels between nodes are encrypted"), *found]


def _limits(settings: Settings) -> list[Finding]:
    findings = []
    if settings.takes_server_for_replica:
        findings.append(
            warning(
                "settings",
                "FLY_ORM_READ_ONLY is on, so the local server counts as a replica even if it is not one",
                "Unset it in production: it is for development without a replica",
            )
        )
    if settings.rpc_timeout is None:
        findings.append(
            warning(
                "settings",
                "rpc_timeout is none, so a request to a node that hangs never times out",
                "Set FLY_ORM_RPC_TIMEOUT to a number of seconds",
            )
        )
    return findings
