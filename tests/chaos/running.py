"""A run: clients, faults for some time, and then what was left and what the history shows."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from time import sleep

import psycopg2

from fly_orm.deadline import Deadline

from . import network_faults, process_faults, server_faults, violations
from .checker import CLIENT_KILLED, check
from .faults import Hand, Kind
from .history import Fault, Left, read
from .plants import PLANTS
from .report import Report
from .world import ROLE, World

#: Seconds after the last fault in which everything comes to rest.
REST = 2.0
#: Seconds after which nodes have noticed that callers are gone.
PATIENCE = 12.0
#: How often a run looks whether what was planted shows (seconds).
INTERVAL = 2.0
#: What makes faults, side by side, each with the longest time (seconds) between two.
HANDS = [
    ("network", network_faults.KINDS, 0.5),
    ("another network", network_faults.KINDS, 0.5),
    ("long stalls", network_faults.LONG, 1.5),
    ("processes", process_faults.KINDS, 1.5),
    ("servers", server_faults.KINDS, 1.5),
]

_OPEN = """
    SELECT array_agg(format('%%s (%%s): %%s', state, application_name, left(query, 80))) FROM pg_stat_activity
    WHERE usename = %s AND (xact_start IS NOT NULL OR pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory'))
"""
_CONNECTED = "SELECT array_agg(format('%%s: %%s', state, left(query, 80))) FROM pg_stat_activity WHERE usename = %s"


def run(world: World, *, seconds: float, seed: int, only: Sequence[str] = ()) -> Report:
    """Make faults for so many seconds while the clients work, and report.

    ``only`` holds parts of the names of the faults to make; all are made without it. With faults planted, the run is
    over once they show.
    """
    hands = _hands(world, seed, only)
    _let_fail(world, Deadline.after(seconds))
    for hand in hands:
        hand.stop()
    world.heal()
    sleep(REST)
    _end(world)
    world.journal.write(world.contents())
    events = read(world.folder)
    return Report(events=events, violations=check(events))


def _hands(world: World, seed: int, only: Sequence[str]) -> Sequence[Hand]:
    def is_chosen(kind: Kind) -> bool:
        return not only or any(part in kind.name for part in only)

    chosen = [(name, list(filter(is_chosen, kinds)), idle) for name, kinds, idle in HANDS]
    return [Hand(world, kinds, seed=f"{seed} {name}", idle=idle) for name, kinds, idle in chosen if kinds]


def _let_fail(world: World, deadline: Deadline) -> None:
    """Wait; or until what is planted shows, if it shows before the end at all."""
    planted = {PLANTS[name].breaks for name in world.plants} - {violations.Kind.LEFT}
    while (left := deadline.remaining()) and not (planted and planted <= _shown(world)):
        sleep(min(left, INTERVAL) if planted else left)


def _shown(world: World) -> set[violations.Kind]:
    """The promises that are seen to be broken by now."""
    with suppress(psycopg2.OperationalError), world.losing:  # from a primary that is away just now
        events = read(world.folder)
        return {each.kind for each in check([*events, world.contents()])}
    return set()


def _end(world: World) -> None:
    """End the clients, half of them by force, and then the nodes, and note what is left of either."""
    for client in world.clients[::2]:
        world.journal.write(Fault(kind=CLIENT_KILLED, target=client.name))
        client.kill()
    for client in world.clients[1::2]:
        client.ask_to_end()
    for client in world.clients[1::2]:
        _note(world, client.name, client.end())
    for wan in world.wans:
        wan.cut()
    _expect_nothing(world, _OPEN, "left open on {}: {}")
    for node in world.nodes:
        _note(world, node.name, node.end())
    _expect_nothing(world, _CONNECTED, "left connected to {}: {}")


def _expect_nothing(world: World, sql: str, complaint: str) -> None:
    """Note what a query finds on any server, if it does so for some time."""
    deadline = Deadline.after(PATIENCE)
    for server in world.servers:
        while (found := server.query(sql, ROLE)) and not deadline.expired:
            sleep(0.1)
        _note(world, server.name, found and complaint.format(server.name, found))


def _note(world: World, name: str, what: str | None) -> None:
    if what:
        world.journal.write(Left(process=name, what=what))
