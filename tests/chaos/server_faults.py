"""Faults of the Postgres servers, and failovers."""

from __future__ import annotations

from contextlib import suppress

import psycopg2

from fly_orm.deadline import now
from fly_orm.testing import Server
from tests.support.servers import apply_delay, follow_at_once
from tests.support.servers import crash_backend as crash_one_backend
from tests.support.servers import crash_replica as crash_one_replica

from .app import ALL_ROWS
from .faults import Hand, Kind
from .history import Lost, Rows, Took
from .world import ROLE, rows_of

#: The kinds of faults that promote the server of a region, which is their target.
PROMOTED, PROMOTED_WITH_A_LOSS = "promoted", "promoted with a loss"
#: The port at which a primary that was superseded is looked into, where nobody else finds it.
HIDDEN = 6000


def restart_primary(hand: Hand) -> None:
    server = _note(hand, "primary restarted", hand.world.primary)
    server.restart(hand.dice.choice(["fast", "immediate"]))
    _takes_writes(hand, server)


def crash_primary(hand: Hand) -> None:
    server = _note(hand, "primary crashed", hand.world.primary)
    server.kill()
    hand.wait(1.0)
    server.start()
    _takes_writes(hand, server)


def crash_backend(hand: Hand) -> None:
    crash_one_backend(_note(hand, "backend crashed", hand.dice.choice(hand.world.servers)))


def terminate_backends(hand: Hand) -> None:
    """Some of the application's, each with an even chance."""
    server = _note(hand, "backends terminated", hand.dice.choice([hand.world.primary, *hand.world.servers]))
    sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = %s AND random() < 0.5"
    for _ in range(3):
        server.query(sql, ROLE)
        hand.wait(0.3)


def pause_replica(hand: Hand) -> None:
    server = _note(hand, "replica paused", hand.dice.choice(hand.world.replicas))
    server.query("SELECT pg_wal_replay_pause()")
    hand.wait(3.0)
    server.query("SELECT pg_wal_replay_resume()")


def slow_replica(hand: Hand) -> None:
    """Let it replay each commit some time after it happened."""
    server = _note(hand, "replica late", hand.dice.choice(hand.world.replicas))
    with apply_delay(server, hand.dice.uniform(0.1, 1.5)):
        hand.wait(4.0, 2.0)


def restart_replica(hand: Hand) -> None:
    server = _note(hand, "replica restarted", hand.dice.choice(hand.world.replicas))
    server.restart(hand.dice.choice(["fast", "immediate"]))


def crash_replica(hand: Hand) -> None:
    server = _note(hand, "replica crashed", hand.dice.choice(hand.world.replicas))
    crash_one_replica(server, lambda: hand.wait(1.0))


def switch_over(hand: Hand) -> None:
    """Stop the primary in order, which sends everything to its replicas before, and promote one of them."""
    world, old = hand.world, hand.world.primary
    new, other = hand.dice.sample(world.replicas, 2)
    hand.note(PROMOTED, world.region_of(new))
    old.stop()
    world.promote(new)
    _takes_writes(hand, new)
    follow_at_once(other, new)
    hand.wait(0.5)
    world.cluster.follow(old, new)


def fail_over(hand: Hand) -> None:
    """Promote a replica that lacks the last writes of a primary that has crashed."""
    world, old = hand.world, hand.world.primary
    new, other = hand.dice.sample(world.replicas, 2)
    hand.note(PROMOTED_WITH_A_LOSS, world.region_of(new))
    follow_at_once(new, None)
    hand.wait(0.4)
    with world.losing:
        since = now()
        old.kill()
        world.promote(new)
        _takes_writes(hand, new)
        had = _look_into(old)
        has = world.rows(ALL_ROWS)
        lost = {op: rows - has.get(op, 0) for op, rows in had.items() if has.get(op, 0) < rows}
        world.journal.write(Lost(since=since, rows=lost))
    world.cluster.rebuild(other, new)
    world.cluster.rebuild(old, new)


def _look_into(server: Server) -> Rows:
    """The rows of a primary that has crashed and was superseded. Nobody else can connect to it meanwhile."""
    port, server.port = server.port, HIDDEN
    server.start()
    rows = rows_of(server, ALL_ROWS)
    server.kill()
    server.port = port
    return rows


def _note(hand: Hand, what: str, server: Server) -> Server:
    hand.note(what, hand.world.region_of(server))
    return server


def _takes_writes(hand: Hand, server: Server) -> None:
    hand.world.journal.write(Took(region=hand.world.region_of(server)))


def _then_stream(kind: Kind) -> Kind:
    """The same, over only when all replicas follow the primary again."""

    def make(hand: Hand) -> None:
        with suppress(psycopg2.OperationalError):  # from a server that is starting again
            kind.make(hand)
        hand.world.wait_until_streaming()

    return Kind(kind.name, make)


KINDS = [
    _then_stream(kind)
    for kind in (
        Kind("primary restarted", restart_primary),
        Kind("primary crashed", crash_primary),
        Kind("backend crashed", crash_backend),
        Kind("backends terminated", terminate_backends),
        *[Kind("replica paused", pause_replica), Kind("replica late", slow_replica)] * 2,  # what old reads come from
        Kind("replica restarted", restart_replica),
        Kind("replica crashed", crash_replica),
        Kind(PROMOTED, switch_over),
        Kind(PROMOTED_WITH_A_LOSS, fail_over),
    )
]
