"""The node in syd: serves a database of Pony's until its process is ended."""

from __future__ import annotations

import threading

from pony import orm

import fly_orm
from tests.support.two_regions import settings

from .parent import end_with_parent
from .provider import settings as database_settings


def main() -> None:
    """Serve, and say where."""
    end_with_parent()
    here = settings("syd")
    database = fly_orm.wrap(orm.Database(**database_settings), settings=here)
    with fly_orm.serve(database, listen="127.0.0.1:0", settings=here) as serving:
        print(serving.address, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
