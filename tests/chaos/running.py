"""A run: clients, faults for some time, and then what was left and what the history shows."""

from __future__ import annotations

from time import sleep

from fly_orm.deadline import Deadline

from . import network_faults, process_faults, server_faults
from .app import ALL_ROWS
from .checker import CLIENT_KILLED, check
from .faults import Hand
from .history import Fault, Final, Left, read
from .report import Report
from .world import ROLE, World

#: Seconds after the last fault in which everything comes to rest.
REST = 2.0
#: Seconds after which nodes have noticed that callers are gone.
PATIENCE = 12.0

_OPEN = """
    SELECT array_agg(format('%%s (%%s): %%s', state, application_name, left(query, 80))) FROM pg_stat_activity
    WHERE usename = %s AND (xact_start IS NOT NULL OR pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory'))
"""
_CONNECTED = "SELECT array_agg(format('%%s: %%s', state, left(query, 80))) FROM pg_stat_activity WHERE usename = %s"


def run(world: World, *, seconds: float, seed: int) -> Report:
    """Make faults for so many seconds while the clients work, and report."""
    hands = [
        Hand(world, network_faults.KINDS, seed=f"{seed} network", idle=0.5),
        Hand(world, network_faults.KINDS, seed=f"{seed} another network", idle=0.5),
        Hand(world, process_faults.KINDS, seed=f"{seed} processes", idle=1.5),
        Hand(world, server_faults.KINDS, seed=f"{seed} servers", idle=1.5),
    ]
    sleep(seconds)
    for hand in hands:
        hand.stop()
    world.heal()
    sleep(REST)
    _end(world)
    world.journal.write(Final(rows=world.rows(ALL_ROWS)))
    events = read(world.folder)
    return Report(events=events, violations=check(events))


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
