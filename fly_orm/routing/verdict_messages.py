"""What the log and errors say of a server that was checked."""

from __future__ import annotations

from .verdict import Verdict

_WRONG = "; nothing was executed. Connect it to the replica of this region, or to the primary"
#: By verdict, with places for the server, what it was compared with, its history, and the names of regions.
MESSAGES = {
    Verdict.THE_PRIMARY: (
        "{server} is the primary itself, by comparison with {other}: statements run there directly. If it is far away, "
        "reads cross the network as well"
    ),
    Verdict.PROMOTED: (
        "{server} was promoted: it is the primary now, on {history}, and newer than {other}; if region {region!r} "
        "is to stay the primary one, set PRIMARY_REGION={region} everywhere"
    ),
    Verdict.UNCHECKED: (
        "{server} takes writes, and they run there directly: {other}, so it cannot be compared with the primary of "
        "region {primary_region!r}. Set FLY_ORM_NODES"
    ),
    Verdict.OTHER_SYSTEM: (
        "{server} is not a replica, and belongs to another database system ({history}) than {other}: perhaps it is a "
        "restored copy, a logical subscriber, or a server of another environment" + _WRONG
    ),
    Verdict.COPY: (
        "{server} is not a replica but a copy of the primary that takes writes of its own, on the same timeline as "
        "{other}" + _WRONG
    ),
    Verdict.SUPERSEDED: (
        "{server} was the primary before a failover: it is on {history}, and older than {other}; nothing was executed. "
        "Stop it, or let it rejoin as a replica"
    ),
    Verdict.UNDECIDED: (
        "{server} is not a replica, and no node can tell whether it is the primary: {other}. Until one can, only reads "
        "run there, and writes go to the nodes. If region {region!r} is the primary one now, set "
        "PRIMARY_REGION={region}"
    ),
}
