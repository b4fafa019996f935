"""A client process: threads that serve sessions, one after another, until the process is told to stop."""

from __future__ import annotations

import faulthandler
import itertools
import json
import logging
import os
import random
import signal
import sys
import threading
import traceback
from contextlib import suppress
from pathlib import Path
from time import sleep
from typing import Any

import fly_orm
from fly_orm.deadline import now

from .acts import Visit
from .app import shops
from .history import Journal, Left, Paused, Resumed, Sent
from .leftovers import left_here
from .notes import Diary, origins
from .plants import plant

THREADS = 4
#: How often a session tries to look what became of a write.
LOOKS = 3
#: A thread that does not come to its end within so many seconds hangs.
PATIENCE = 20.0
TICK, LATE = 0.05, 0.1
#: Few, so that what a token tells is recent.
SLOTS = 6
#: Seconds between two operations at most, and after one that has failed.
THINKING, DISMAY = 0.03, 0.2


class Client:
    """What the threads of the process share."""

    def __init__(self, folder: Path, name: str, number: int) -> None:
        self.name = name
        self.folder = folder
        self.journal = Journal(folder / f"{name}.jsonl")
        self.over = threading.Event()
        self.shops = shops()
        self._keys = itertools.count(number * 1_000_000)

    def serve(self, number: int) -> None:
        """Serve one session after another."""
        dice = random.Random(f"{self.name} {number}")
        for session in itertools.count(1):
            if self.over.is_set():
                return
            with fly_orm.session():
                try:
                    self._session(f"{self.name}.{number}.{session}", dice)
                except Exception:
                    self.journal.write(Left(process=self.name, what=traceback.format_exc()))

    def _session(self, name: str, dice: random.Random) -> None:
        diary = Diary(self.journal, process=self.name, session=name)
        shop = dice.choice(self.shops)
        key = self._resume(diary, dice)
        visit = Visit(diary, shop, next(self._keys) if key is None else key, dice, self.over)
        first = [Visit.read] * dice.randrange(2) if key is not None else []  # at once, as after a redirect
        try:
            for act in [*first, *[None] * dice.randrange(1, 10)]:
                if self.over.wait(dice.uniform(0, THINKING)):
                    break
                error = visit.act(act)
                if error is not None:
                    self._leave(shop)
                    self.over.wait(DISMAY)
                for origin in origins(error):
                    if isinstance(origin, fly_orm.OutcomeUnknown):
                        self._look(visit, getattr(origin, "settled_after", None))
                if dice.randrange(6) == 0:
                    self._leave(shop)
            self._send(diary, visit.key, dice)
        finally:
            self._leave(shop)

    def _leave(self, shop: Any) -> None:
        with suppress(Exception):
            shop.leave()

    def _look(self, visit: Visit, settled_after: float | None) -> None:
        """Do what the documentation advises: look for the write once that is conclusive."""
        op = visit.diary.last
        if not op or settled_after is None or self.over.wait(settled_after):
            return
        for _ in range(LOOKS):
            with suppress(Exception):
                visit.look(op)
                break
            self._leave(visit.shop)

    def _resume(self, diary: Diary, dice: random.Random) -> int | None:
        """Go on with a key, and with what the session has seen that left it; sometimes with none."""
        slot = self.folder / "letters" / str(dice.randrange(SLOTS))
        if dice.randrange(8) == 0 or not slot.exists():
            return None
        letter = json.loads(slot.read_text())
        fly_orm.resume(letter["token"])
        self.journal.write(Resumed(session=diary.session, letter=letter["letter"]))
        return int(letter["key"])

    def _send(self, diary: Diary, key: int, dice: random.Random) -> None:
        letter = f"from {diary.session}"
        self.journal.write(Sent(session=diary.session, letter=letter))
        content = json.dumps({"letter": letter, "key": key, "token": fly_orm.token()})
        slot = self.folder / "letters" / str(dice.randrange(SLOTS))
        draft = slot.with_name(f"{diary.session} draft")
        draft.write_text(content)
        draft.replace(slot)

    def tick(self) -> None:
        """Note when the process does not get to run, for which no call can be blamed."""
        while True:
            began = now()
            sleep(TICK)
            late = now() - began - TICK
            if late > LATE:
                self.journal.write(Paused(process=self.name, seconds=late))

    def close(self) -> None:
        """Close everything, and note what is left."""
        for shop in self.shops:
            shop.close()
        for what in left_here():
            self.journal.write(Left(process=self.name, what=what))
        self.journal.close()


def main() -> None:
    """Serve until SIGTERM."""
    logging.getLogger("fly_orm").setLevel(logging.CRITICAL)
    plant("client")
    folder, name, number = sys.argv[1:]
    client = Client(Path(folder), name, int(number))
    signal.signal(signal.SIGTERM, lambda *_: client.over.set())
    threading.Thread(target=client.tick, daemon=True).start()
    threads = [threading.Thread(target=client.serve, args=(each,)) for each in range(THREADS)]
    for thread in threads:
        thread.start()
    print("serving", flush=True)
    while not client.over.wait(0.2):
        pass
    for thread in threads:
        thread.join(PATIENCE)
    if any(thread.is_alive() for thread in threads):
        faulthandler.dump_traceback()
        os._exit(1)  # the history shows what hangs
    client.close()


if __name__ == "__main__":
    main()
