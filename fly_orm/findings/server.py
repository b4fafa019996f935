"""Findings about one Postgres server, on its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..lsn import LSN
from ..position import History
from .finding import Finding, error, ok, warning

_TOPIC = "server"
#: The oldest server that fly_orm works with, and the first whose WAL senders can sleep through a commit.
LEAST_VERSION, _SLEEPY_SENDERS_VERSION = 140000, 160000
_CONTROL = "pg_control_system(), pg_control_checkpoint(), pg_control_recovery()"


@dataclass(frozen=True, kw_only=True)
class ServerFacts:
    """What a server reports over a connection with the database's own role."""

    primary: bool
    """Whether it is not in recovery."""
    address: str
    run: str
    """Identifies this run of the server, whatever the address that it was reached at."""
    version: int
    """As libpq reports it: 180006 is PostgreSQL 18.6."""
    role: str
    history: History | None
    """None if the role may not ask for it."""
    reads_all_stats: bool
    superuser: bool = False
    """Whether the role is a superuser."""
    pooled: bool = False
    """Whether the connection goes through a pooler."""
    receiving: bool = True
    """Whether a replica has a WAL receiver; true for a primary."""
    replay_paused: bool = False
    lsn: LSN | None = None
    """The flush LSN of a primary, or the replay LSN of a replica; None if unknown."""
    replay_age: float | None = None
    """Seconds since the commit that a replica has replayed last."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """The settings in ``local/surveying.py:SETTINGS``, with their values in ``pg_settings``."""

    def __str__(self) -> str:
        kind = "primary" if self.primary else "replica"
        return f"{kind} {self.address}, PostgreSQL {version_text(self.version)}"


def version_text(version: int) -> str:
    """A server version in the usual notation, such as 18.6."""
    return f"{version // 10000}.{version % 10000}"


def unreachable(database: str, problem: str, *, primary: bool) -> Finding:
    """A finding for a server that this process cannot connect to."""
    which = "primary" if primary else "replica of this region (or to the primary, if the region has none)"
    return error(
        _TOPIC,
        f"cannot connect to the local server: {' '.join(problem.split())}",
        f"Correct the address of the database: it has to lead to the {which}",
        subject=database,
    )


def server_findings(database: str, server: ServerFacts) -> list[Finding]:
    """Findings about the server of a database, regardless of its region."""
    found = [_version(server), *_rights(server), *_pooler(server)]
    found += _primary(server) if server.primary else _replica(server)
    return [_about(database, finding) for finding in found]


def _about(database: str, finding: Finding) -> Finding:
    return Finding(**{**vars(finding), "subject": database})


def _version(server: ServerFacts) -> Finding:
    if server.version < LEAST_VERSION:
        return error(_TOPIC, f"the {server} is too old", f"Use PostgreSQL {LEAST_VERSION // 10000} or newer")
    return ok(_TOPIC, f"connected to the {server}, as {server.role!r}")


def _rights(server: ServerFacts) -> list[Finding]:
    if server.history is None:
        return [
            warning(
                "privileges",
                f"the role {server.role!r} may not ask the server for its system and timeline, so reads after a "
                "failover can be stale",
                f'GRANT EXECUTE ON FUNCTION {_CONTROL} TO "{server.role}"',
            )
        ]
    return [ok("privileges", f"{server.history}")]


def _pooler(server: ServerFacts) -> list[Finding]:
    if not server.pooled:
        return []
    return [
        ok(
            _TOPIC,
            "a connection pooler is in between: a session's reads take about 0.3 ms longer once it has written",
            "Connect nodes to Postgres itself, or to a pooler in session mode",
        )
    ]


def _primary(server: ServerFacts) -> list[Finding]:
    found = [*synchronous_commit(server.settings.get("synchronous_commit", ""))]
    if server.settings.get("default_transaction_read_only") == "on":
        found.append(
            error(
                _TOPIC,
                "default_transaction_read_only is on, so the primary refuses every write",
                "Turn it off for the server, the database or the role",
            )
        )
    return found


def synchronous_commit(value: str) -> list[Finding]:
    """Findings about the primary's ``synchronous_commit``."""
    if value == "off":
        return [
            warning(
                _TOPIC,
                "synchronous_commit is off: if the primary crashes, it loses writes that it has acknowledged",
                "Turn it on, unless that is what you want",
            )
        ]
    return [ok(_TOPIC, f"synchronous_commit is {value}")] if value else []


def sleepy_senders(version: int, role: str, *, reads_all_stats: bool, subject: str) -> list[Finding]:
    """A finding if commits can reach replicas late; see ``postgres/write_ahead_log.py:WriteAheadLog.wake_senders``."""
    if version < _SLEEPY_SENDERS_VERSION or reads_all_stats:
        return []
    return [
        warning(
            "privileges",
            f"from PostgreSQL 16 on, a WAL sender can miss a commit and send it with the next one; the node's role "
            f"{role!r} may not see that, so the node cannot wake the sender",
            f'GRANT pg_read_all_stats TO "{role}"',
            subject=subject,
        )
    ]


def _replica(server: ServerFacts) -> list[Finding]:
    found = []
    if not server.receiving:
        found.append(
            error(
                "replication",
                "the replica receives nothing from the primary: it has no WAL receiver",
                "Look into the log of the replica; check primary_conninfo and, on the primary, pg_hba.conf and the "
                "replication slot",
            )
        )
    if server.replay_paused:
        found.append(
            error("replication", "replay is paused on the replica", "Resume it: SELECT pg_wal_replay_resume()")
        )
    return found + _conflicts(server)


def _conflicts(server: ServerFacts) -> list[Finding]:
    """Findings about conflicts between replay and queries on the replica."""
    delay, feedback = server.settings.get("max_standby_streaming_delay"), server.settings.get("hot_standby_feedback")
    if delay is None or feedback is None:
        return []
    if delay == "-1":
        return [
            warning(
                "replication",
                "max_standby_streaming_delay is -1: a long query on the replica can delay replay, and with it every "
                "wait, for as long as it runs",
                "Set it to some seconds, such as 30s",
            )
        ]
    seconds = int(delay) / 1000
    return [
        ok(
            "replication",
            f"hot_standby_feedback is {feedback}, and max_standby_streaming_delay {seconds:g} s: a long query on the "
            f"replica can delay replay for that long, and is then cancelled",
            "" if feedback == "on" else "To avoid most of this, set hot_standby_feedback = on on the replica",
        )
    ]
