"""Gathers the facts about a set-up within a time limit, and turns them into findings."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

from ..deadline import Deadline
from ..errors import ConfigurationError, NotDelivered
from ..findings.finding import Finding, Level, error, ok
from ..findings.nodes import NodeFacts, node_findings
from ..findings.regions import region_findings
from ..findings.server import server_findings, unreachable
from ..findings.settings import tls_findings
from ..findings.shown import Shown, shown_settings
from ..findings.systems import system_findings
from ..findings.version import VERSION
from ..findings.writing import write_findings
from ..forwarding.forwarder import Forwarder
from ..routing.router import Router
from ..runtime.environment import environment_findings
from ..runtime.runtime import Runtime, default_runtime
from ..settings import Settings, variables_set
from .nodes import ask_nodes, find_nodes
from .parallel import Question
from .report import Report
from .servers import LocalFacts, ask_server
from .writing import try_write

#: The share of the time in which servers and nodes have to answer. The rest is for the writes.
_ASKING = 0.6


def check_setup(routers: Sequence[Router], deadline: Deadline, *, writes: bool = True) -> Report:
    """Check the set-up of this process and of these databases by the deadline.

    Without a database, only the settings and the nodes are checked. ``writes`` says whether writes are tried.
    """
    runtime = default_runtime()
    if not routers:
        found = _findings(runtime.settings, runtime, (), deadline, writes=writes)
        return Report(findings=found, settings=_shown([runtime.settings]))
    checks = [
        Question(partial(_findings, group[0].settings, group[0], group, deadline, writes=writes))
        for group in _with_the_same_nodes(routers)
    ]
    findings = [finding for check in checks for finding in check.answer(Deadline.after(None)) or ()]
    shown = _shown([router.settings for router in routers], [router.name for router in routers])
    return Report(findings=list(dict.fromkeys(findings)), settings=shown)


def _with_the_same_nodes(routers: Sequence[Router]) -> list[list[Router]]:
    """The databases in groups, whose settings differ in their timeouts at most."""
    groups: list[tuple[Settings, list[Router]]] = []
    for router in routers:
        settings = router.settings.with_timeouts(rpc_timeout=None, replication_timeout=None)
        for known, group in groups:
            if known == settings:
                group.append(router)
                break
        else:
            groups.append((settings, [router]))
    return [group for _, group in groups]


def _shown(settings: Sequence[Settings], names: Sequence[str] = ()) -> list[Shown]:
    """The first settings, and what differs in the others, with the name of the database."""
    environment = None
    with suppress(ConfigurationError):
        environment = Settings.from_environment()
    first, *others = (shown_settings(each, variables_set(), environment) for each in settings)
    differing = [
        replace(row, name=f"{name}.{row.name}")
        for name, rows in zip(names[1:], others, strict=True)
        for row, known in zip(rows, first, strict=True)
        if row.value != known.value
    ]
    return first + differing


def _findings(
    settings: Settings, process: Runtime | Router, routers: Sequence[Router], deadline: Deadline, *, writes: bool
) -> list[Finding]:
    try:
        return _check(settings, process.forwarder, routers, deadline, writes=writes)
    except ConfigurationError as problem:
        wrong_files = [finding for finding in tls_findings(settings) if finding.level is Level.ERROR]
        return wrong_files or [error("settings", str(problem), "Correct the setting")]


def _check(
    settings: Settings, forwarder: Forwarder, routers: Sequence[Router], deadline: Deadline, *, writes: bool
) -> list[Finding]:
    topology = settings.topology
    findings = [
        finding
        for each in [router.settings for router in routers] or [settings]
        for finding in environment_findings(each)
    ]
    asking = _asking(deadline)
    questions = [(router, Question(partial(ask_server, router, asking))) for router in routers]
    nodes, found = _nodes(settings, forwarder, asking)
    findings += [*found, *node_findings(nodes, topology, version=VERSION, databases=[each.name for each in routers])]
    servers = [(router, question.answer(asking)) for router, question in questions]
    for router, local in servers:
        findings += _of_server(router, local, nodes)
    if writes:
        writable = [(each, local) for each, local in servers if local is not None and local.server and not local.wrong]
        findings += _of_writes(writable, deadline)
    return findings


def _nodes(settings: Settings, forwarder: Forwarder, deadline: Deadline) -> tuple[list[NodeFacts], list[Finding]]:
    """The nodes, and the findings from looking them up."""
    try:
        nodes, regions = find_nodes(forwarder.directory, settings, deadline)
    except NotDelivered as problem:
        return [], [error("discovery", str(problem), "Check FLY_ORM_DISCOVERY, and what it asks")]
    found = region_findings(settings.topology, regions)
    if (primary := settings.topology.primary_region) is not None:
        found.append(ok("discovery", f"nodes are looked up in {forwarder.directory.describe(primary)}"))
    return ask_nodes(nodes, settings, deadline), found


def _asking(deadline: Deadline) -> Deadline:
    left = deadline.remaining()
    return deadline.within(None if left is None else left * _ASKING)


def _of_server(router: Router, local: LocalFacts | None, nodes: Sequence[NodeFacts]) -> list[Finding]:
    topology = router.settings.topology
    if local is None or local.server is None:
        problem = "it did not answer in time" if local is None else local.problem
        return [unreachable(router.name, problem, primary=topology.is_primary)]
    found = server_findings(router.name, local.server)
    pretends = router.settings.takes_server_for_replica
    return found + system_findings(router.name, local.server, topology, nodes, local.wrong, pretends=pretends)


def _of_writes(servers: Sequence[tuple[Router, LocalFacts]], deadline: Deadline) -> list[Finding]:
    questions = [(router, Question(partial(try_write, router, local, deadline))) for router, local in servers]
    findings = []
    for router, question in questions:
        write = question.answer(deadline)
        if write is None:
            findings.append(error("write", "a write was not answered in time", "Raise --timeout", subject=router.name))
        else:
            findings += write_findings(router.name, write)
    return findings
