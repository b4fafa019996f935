"""A transaction of the node's own, around a statement whose result is looked at before it commits."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psycopg2

from ..postgres.cursors import execute
from .lease_errors import broken
from .result_limit import ResultLimit
from .steps import R, Steps, uncommitted


def in_transaction(connection: Any, work: Steps[R], check: Callable[[], None], limit: ResultLimit) -> Steps[R]:
    """What ``work`` yields and returns, which runs in a transaction on a driver connection.

    Nothing is committed if it raises, or is given up; neither if ``check`` raises, which is called before the COMMIT:
    this process may have been stopped meanwhile. ConnectionBroken if the connection breaks before that.
    """
    execute(connection, "BEGIN")
    try:
        result = yield from uncommitted(work)
        check()
    except BaseException as error:
        with suppress(psycopg2.Error):
            execute(connection, "ROLLBACK")
        if isinstance(error, psycopg2.Error) and error.pgcode is None and connection.closed and limit.running:
            raise broken(error, limit.running, limit, undecided=False) from error
        raise
    execute(connection, "COMMIT")
    return result
