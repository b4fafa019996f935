"""A process in lax that copies as many MiB as it is told to the table ``item`` and back, in pieces.

Each line of its input names a number of MiB. Its answers are lines of JSON. With ``pause``, it says so halfway through
the input, and waits for another line.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playhouse.db_url import connect

import fly_orm
from fly_orm.forwarding import channels
from tests.support.two_regions import CONNECT_TIMEOUT

MIB = 1024 * 1024
ROW = 1024


def peak_memory(pid: int | str = "self") -> int:
    """The most memory (bytes) that a process has used so far."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


class Rows:
    """A file of rows that are made when they are read."""

    def __init__(self, count: int, halfway: Callable[[], Any]) -> None:
        self.left = count
        self.half = count // 2
        self.halfway = halfway

    def read(self, size: int) -> bytes:
        if self.left == self.half:
            self.halfway()
        self.left -= 1
        return (b"%032d" % self.left).ljust(ROW - 1, b"x") + b"\n" if self.left >= 0 else b""


class Counted:
    """A file that counts what is written to it."""

    size = 0

    def write(self, data: bytes) -> None:
        self.size += len(data)


def copy(cursor: Any, mib: int, halfway: Callable[[], Any]) -> dict[str, Any]:
    """What came of copying so much in, and all that is there out."""
    cursor.execute("TRUNCATE item CASCADE")
    try:
        cursor.copy_from(Rows(mib * MIB // ROW, halfway), "item", columns=("name",))
    except fly_orm.FlyOrmError as error:
        return {"error": type(error).__name__}
    written = Counted()
    with fly_orm.primary():
        cursor.copy_to(written, "item", columns=("name",))
    return {"rows": cursor.rowcount, "bytes": written.size, "memory": peak_memory()}


def say(what: Any) -> None:
    print(json.dumps(what), flush=True)


def main(url: str, *options: str) -> None:
    def pause() -> None:
        say("halfway")
        sys.stdin.readline()

    channels.CONNECT_TIMEOUT = CONNECT_TIMEOUT
    db = fly_orm.wrap(connect(url))
    for line in sys.stdin:
        say(copy(db.connection().cursor(), int(line), pause if "pause" in options else lambda: None))


if __name__ == "__main__":
    main(*sys.argv[1:])
