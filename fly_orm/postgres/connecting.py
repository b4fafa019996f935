"""Connecting without passing on what the driver quotes from a malformed connection string: perhaps its password."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import psycopg2
from psycopg2 import extensions as ext

from ..errors import ConfigurationError, FlyOrmError

T = TypeVar("T")

#: Text in quotes, in the languages that libpq speaks. What is quoted may contain quotes.
_QUOTED = re.compile('["»«„“].*["»«“”]')
#: The end of a message that names a parameter of libpq's.
_OPTION = re.compile(r' for connection option "\w+"$')
#: Messages of a server, and of libpq about a server whose address it has understood.
_FROM_SERVER = re.compile("FATAL|connection to server |could not translate host name ")
#: Part of a password, taken for that of a host.
_BEFORE_HOST = re.compile(r'"[^"\s]*@')
_HINT = "(what is quoted is not shown, as it may hold a password. In a URL, encode special characters of the password)"


def server_name(host: str | None, port: object) -> str:
    """What messages call a server at a host, or over a Unix socket in a folder of this machine (or None)."""
    return f"{'localhost' if not host or host.startswith(('/', '@')) else host}:{port}"


def hiding_passwords(connect: Callable[[], T]) -> T:
    """What ``connect()`` returns. A psycopg2 error that may quote a password is replaced by one that does not."""
    try:
        return connect()
    except psycopg2.Error as error:
        shown = redacted(str(error))
        # The server's own errors about a statement have an SQLSTATE, and ours quote nothing from the parameters.
        if shown == str(error) or error.pgcode is not None or isinstance(error, FlyOrmError):
            raise
        safe = type(error)(shown)
    raise safe  # here, so that the driver's own error is not its context


def redacted(message: str) -> str:
    """The driver's message about a failed connection, without what it may quote from a password."""
    if _FROM_SERVER.search(message):
        return _BEFORE_HOST.sub('"…@', message)
    text = message.rstrip()
    option = _OPTION.search(text)
    end = option.group() if option else ""
    hidden = _QUOTED.sub('"…"', text.removesuffix(end)) + end
    return message if hidden == text else f"{hidden} {_HINT}"


def parameters_in(dsn: str) -> dict[str, Any]:
    """The parameters of a connection string; ConfigurationError if it is malformed."""
    try:
        return dict(hiding_passwords(lambda: ext.parse_dsn(dsn)))
    except psycopg2.ProgrammingError as error:
        problem = str(error)
    raise ConfigurationError(f"the connection string of the database is not valid: {problem}")
