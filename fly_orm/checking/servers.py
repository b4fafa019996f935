"""Asks the local server of a database for its state, and whether this process may write to it."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg2

from ..concurrency.timer import Timer
from ..deadline import Deadline
from ..errors import FlyOrmError
from ..findings.server import ServerFacts
from ..local.surveying import survey
from ..postgres.libpq import break_off
from ..routing.router import Router

timer = Timer("the timer of checks")


@dataclass(frozen=True, kw_only=True)
class LocalFacts:
    """The result of asking a local server."""

    server: ServerFacts | None = None
    problem: str = ""
    """Why it could not be asked."""
    wrong: str = ""
    """Why this process must not write to it."""
    may_write: bool = False
    """Whether writes run on it directly."""


def ask_server(router: Router, deadline: Deadline) -> LocalFacts:
    """What the local server of a database reports by the deadline."""
    try:
        connection = router.connect()
    except (psycopg2.Error, FlyOrmError) as error:
        return LocalFacts(problem=str(error))
    try:
        with timer.limit(deadline.remaining(), lambda: break_off(connection)):
            server = survey(connection)
            if not server.primary or router.settings.takes_server_for_replica:
                return LocalFacts(server=server)
            return _judged(router, connection, server, deadline)
    except psycopg2.Error as error:
        return LocalFacts(problem=str(error))
    finally:
        connection.close()


def _judged(router: Router, connection: object, server: ServerFacts, deadline: Deadline) -> LocalFacts:
    """The facts about a server that takes writes, compared with the servers of the nodes."""
    try:
        return LocalFacts(server=server, may_write=router.primary_check.allows(connection, deadline=deadline))
    except FlyOrmError as error:
        return LocalFacts(server=server, wrong=str(error))
