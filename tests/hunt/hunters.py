"""A process whose threads serve users, one request after another."""

from __future__ import annotations

import logging
import os
import queue
import random
import threading
import traceback
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

THREADS = 4


@dataclass(kw_only=True)
class Found:
    """What one process has to tell at its end."""

    counts: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    """What no server can be blamed for."""


def hunt(
    folder: Path,
    plants: list[str],
    users: Any,
    stale: Any,
    ready: Any,
    over: Any,
    results: Any,
) -> None:
    """The process: serve users until it is over, and then tell what was found."""
    logging.getLogger("fly_orm").setLevel(logging.CRITICAL)
    from .other_shops import chosen
    from .plants import PLANTS

    for plant in plants:
        PLANTS[plant]()
    found = Found()
    open_shops = chosen()
    ready.wait()
    threads = [
        threading.Thread(target=_serve, args=(open_shops, folder, number, users, stale, over, found))
        for number in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    results.put(found)
    users.cancel_join_thread()  # nobody takes them any more
    for each in (stale, results):
        each.close()
        each.join_thread()
    os._exit(0)  # connections to servers that are gone have nothing to wait for


def _serve(shops: list[Any], folder: Path, number: int, users: Any, stale: Any, over: Any, found: Found) -> None:
    from .gate import Gate
    from .user import Visit

    gate, dice, counts, errors = Gate(folder), random.Random(number), Counter[str](), Counter[str]()

    class GatedVisit(Visit):
        def step(self, user: Any) -> None:
            with gate.step():
                try:
                    super().step(user)
                except Exception as error:
                    self._failed(error)

        def _failed(self, error: Exception) -> None:
            if not _is_of_a_server(error):
                found.broken.append(traceback.format_exc())
            errors[f"{type(error).__name__}: {str(error).strip().splitlines()[0][:70]}"] += 1
            counts["failed steps"] += 1
            with suppress(Exception):
                self.shop.leave()
            over.wait(0.02)

    while not over.is_set():
        try:
            user = users.get(timeout=0.5)
        except queue.Empty:
            continue
        shop = dice.choice(shops)
        try:
            with shop.open():
                user.request(GatedVisit(shop=shop, found=stale.put, counts=counts))
        except Exception as error:  # from opening or closing a connection
            errors[f"{type(error).__name__}: {str(error).strip().splitlines()[0][:70]}"] += 1
            over.wait(0.02)
        finally:
            users.put(user)
        counts["requests"] += 1
    with _lock:
        found.counts += counts
        found.errors += errors


_lock = threading.Lock()


def _is_of_a_server(error: Exception) -> bool:
    if type(error).__module__.partition(".")[0] in ("sqlalchemy", "django"):  # which may not be installed
        return hasattr(error, "orig") or isinstance(error.__cause__, Exception)
    import peewee
    import psycopg2
    from pony import orm

    import fly_orm

    known = (
        fly_orm.FlyOrmError,
        peewee.PeeweeException,
        psycopg2.Error,
        orm.core.OrmError,
        orm.dbapiprovider.DBException,
    )
    return isinstance(error, known)
