"""How many writes a second callers get done together, next to other ways of writing over the same servers.

All rows of a table are measured in turn, for about a second each, by client processes that stay. Each process counts
what it has done; the number of rows on the primary must be the same, each row must have come from this node, and some
are looked for on the replica.

Bias: with regions next to each other there is no network in between: the ways without fly_orm reach the primary over a
Unix socket, fly_orm its node over TCP. PgBouncer and the pools have as many connections as the node (pools: each
process), by hand each caller has two of its own. Clients, node and servers share these cores, so that what one takes,
the others lack. peewee and Pony take part of what their rows show themselves; "fly_orm: cursor" is without them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any

from tests.support import pgbouncer
from tests.support.tables import Table

from ..duration import is_quick
from ..plot import Line, Plot
from ..report import Report
from ..world import World
from .clients import Clients, Done, clients
from .ways import POOL, Place, connect

SECONDS = 0.3 if is_quick() else 1.2
CALLERS = (1, 8, 32, 128)
FAR = 0.02
DIRECT, POOLED, POOLER, BY_HAND = (
    "direct: psycopg2, no guarantee",
    "direct: psycopg2, pooled, no guarantee",
    "direct: psycopg2 through PgBouncer, no guarantee",
    "by hand: flush LSN, poll every 2 ms",
)
CURSOR, PEEWEE, LAZY, PONY = "fly_orm: cursor", "fly_orm: peewee", "fly_orm: peewee, lazy", "fly_orm: Pony"
GOAL = 0.5

Rates = dict[int, dict[str, Done]]


def run(world: World) -> Report:
    """With one process and with four, next to each other and apart."""
    with _pooler(world) as parameters, clients(1) as one, clients(4) as four:
        near = Place.near(world, parameters)
        ways = [POOLED, *([POOLER] if parameters else []), BY_HAND, CURSOR, PEEWEE, LAZY, PONY]
        single = _measured(world, one, near, ways, CALLERS)
        several = _measured(world, four, near, ways, CALLERS[1:])
        with world.apart(FAR):
            far = _measured(world, one, Place.far(world), [DIRECT, BY_HAND, PEEWEE, LAZY, PONY], CALLERS)
    note = "" if parameters else "; without PgBouncer, which is not installed"
    return Report(
        tables=[
            _table("one process, 0 ms apart", single, f"{_goal(single)}{note}"),
            _table("four processes, 0 ms apart", several, ""),
            _table(f"one process, {FAR * 1000:.0f} ms apart", far, ""),
        ],
        plots=_plots(single, far),
    )


@contextmanager
def _pooler(world: World) -> Iterator[Mapping[str, Any] | None]:
    """How to reach a pooler in front of the primary; None where it is not installed."""
    if pgbouncer.find_executable() is None:
        yield None
        return
    primary = world.reach["primary"]
    with pgbouncer.pgbouncer("transaction", primary, default_pool_size=POOL, max_client_conn=500) as running:
        yield {**primary, **running.parameters}


def _measured(world: World, who: Clients, place: Place, ways: list[str], callers: tuple[int, ...]) -> Rates:
    rates: Rates = {}
    with closing(connect(world.reach["primary"])) as primary:
        for number in callers:
            rates[number] = {way: _checked(primary, who, way, place, number) for way in ways}
    return rates


def _checked(primary: Any, who: Clients, way: str, place: Place, callers: int) -> Done:
    """What they have done, if the primary has as many rows more, or nearly: what is written before and after counts."""
    before = _rows(primary)
    done = who.write(way, place, callers=callers, seconds=SECONDS)
    stored = _rows(primary) - before
    if stored < done.writes or (way.startswith("fly_orm") and done.nodes != {f"syd={place.node}"}):
        raise AssertionError(f"{way}: counted {done.writes} writes, stored {stored}, by {sorted(done.nodes)}")
    return done


def _rows(primary: Any) -> int:
    with primary.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM row")
        found: int = cursor.fetchone()[0]
    return found


def _table(where: str, rates: Rates, result: str) -> Table:
    ways = list(next(iter(rates.values())))
    missed = {way: sum(rates[callers][way].missed for callers in rates) for way in ways}
    failed = [error for by_way in rates.values() for done in by_way.values() for error in done.errors]
    return Table(
        title=f"writes a second, {where}, by number of callers",
        headings=("", *(f"{callers} callers" for callers in rates), "not shown on return"),
        rows=[(way, *(f"{rates[callers][way].rate:.0f}" for callers in rates), missed[way]) for way in ways],
        result="; ".join(filter(None, [result, f"{len(failed)} errors {failed[:2] or ''}".strip()])),
    )


def _goal(rates: Rates) -> str:
    eight, many = rates[8], rates[32]
    ratios = ", ".join(
        f"{way.partition(': ')[2]} {eight[way].rate / eight[BY_HAND].rate:.2f}" for way in (CURSOR, PEEWEE)
    )
    return (
        f"over the same guarantee by hand, 8 callers: {ratios} (aim: at least {GOAL}); "
        f"peewee with 32 callers against 8: {many[PEEWEE].rate / eight[PEEWEE].rate:.2f} (aim: at least 1)"
    )


def _plots(near: Rates, far: Rates) -> list[Plot]:
    return [
        Plot(
            name=f"throughput_{name}",
            message=message,
            x_label="callers in one process",
            y_label="writes a second",
            log_x=True,
            log_y=True,
            lines=[
                Line(
                    name=way,
                    x=list(rates),
                    y=[by_way[way].rate for by_way in rates.values()],
                    dashed=not way.startswith("fly_orm"),
                )
                for way in next(iter(rates.values()))
            ],
        )
        for name, message, rates in (
            ("near", "Writes a second without a distance: the processors are the limit", near),
            ("far", f"Writes a second at {FAR * 1000:.0f} ms: the distance is the limit while callers are few", far),
        )
    ]
