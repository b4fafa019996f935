"""A process in lax, or next to the primary, that executes queries and says what came of each.

Each line of its input is a query, behind the name of a method of the cursor with which to fetch the rows. Its answers
are lines of JSON.
"""

from __future__ import annotations

import json
import resource
import sys
from typing import Any

from playhouse.db_url import connect

import fly_orm
from fly_orm.forwarding import channels
from tests.support.copying_process import peak_memory
from tests.support.two_regions import CONNECT_TIMEOUT


def fetch(cursor: Any, method: str) -> tuple[int, int]:
    """The number of rows, and the characters of their last columns."""
    if method == "fetchall":
        rows = cursor.fetchall()
        return len(rows), sum(len(str(row[-1])) for row in rows)
    count = size = 0
    for row in cursor:
        count, size = count + 1, size + len(str(row[-1]))
    return count, size


def read(connection: Any, method: str, query: str) -> dict[str, Any]:
    """What came of a query. With ``named``, a named cursor executes it."""
    cursor = connection.cursor("named") if method == "named" else connection.cursor()
    before = resource.getrusage(resource.RUSAGE_SELF)
    cursor.execute(query)
    rows, size = fetch(cursor, method)
    after = resource.getrusage(resource.RUSAGE_SELF)
    cursor.close()
    if not connection.autocommit:
        connection.commit()
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"rows": rows, "size": size, "cpu": cpu, "memory": peak_memory()}


def main(url: str, *options: str) -> None:
    channels.CONNECT_TIMEOUT = CONNECT_TIMEOUT
    db = connect(url)
    if "direct" not in options:
        db = fly_orm.wrap(db)
    connection = db.connection()
    connection.autocommit = "named" not in options
    for line in sys.stdin:
        method, query = line.split(maxsplit=1)
        with fly_orm.primary():
            print(json.dumps(read(connection, method, query)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
