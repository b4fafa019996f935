"""Whether the databases of this node are primaries."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence

import psycopg2

from ..position import History
from ..postgres.primary_pool import PrimaryPool

log = logging.getLogger("fly_orm.node")


def check_primaries(pools: Iterable[PrimaryPool], newest: Mapping[str, Sequence[History]] = {}) -> bool:  # not changed
    """Whether any of the databases can be reached; those that cannot be are logged.

    Raises NotPrimary if one of them is a replica, or on an older timeline than the newest ones, by database;
    Refused if a pooler does not keep the Postgres sessions of one.
    """
    reached = False
    for pool in pools:
        try:
            pool.check(newest.get(pool.name, ()))
            reached = True
        except psycopg2.Error as error:
            log.log(
                logging.DEBUG if pool.comes_later else logging.WARNING,
                "the database %r of this node cannot be reached: %s",
                pool.name,
                str(error).strip(),
                extra={"event": "database_unreachable", "database": pool.name, "problem": str(error).strip()},
            )
    return reached
