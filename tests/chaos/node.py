"""A node process, which serves over Pyro5 and over NATS alike."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import fly_orm
from fly_orm.settings import Settings

from . import app
from .history import Journal, Left
from .leftovers import left_here
from .plants import plant

#: A transaction whose caller has become silent is rolled back after so many seconds.
IDLE_TIMEOUT = 5.0


def main() -> None:
    """Serve until SIGTERM, and note what is left afterwards."""
    logging.getLogger("fly_orm").setLevel(logging.CRITICAL)
    plant("node")
    folder, name = sys.argv[1:]
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    settings = Settings.from_environment()
    over_nats = replace(settings, transport="nats", listen=f"nats:{settings.topology.region}")
    with ExitStack() as stack:
        for each in (settings, over_nats):
            stack.enter_context(fly_orm.serve(app.db, settings=each, listen=each.listen, idle_timeout=IDLE_TIMEOUT))
        print("serving", flush=True)
        while not stopping.wait(0.2):
            pass
    for database in filter(None, (app.db, app.pony and app.pony.db)):
        database._fly_orm.close()
    journal = Journal(Path(folder) / f"{name}.jsonl")
    for what in left_here():
        journal.write(Left(process=name, what=what))


if __name__ == "__main__":
    main()
