"""Every error that fly_orm raises, by what it says about the write.

::

    FlyOrmError
    ├── ConfigurationError        a setting, an address or a plug-in is wrong; nothing was sent
    ├── NotSupported              cannot work from a secondary region; nothing ran
    ├── NotPortable               an argument of a function cannot travel to another node; nothing was sent
    ├── NotDelivered              no node got it: certainly not executed, safe to repeat
    │   ├── AuthenticationFailed  the two ends do not hold the same secret
    │   └── NoNode                none is known in the region; a ConfigurationError as well
    ├── Refused                   a node got it and declined before executing anything, safe to repeat
    │   └── NotPrimary            that node's database is a replica
    ├── OutcomeUnknown            sent, no answer: it may have executed; never repeated by fly_orm
    ├── TransactionLost           the transaction's connection is gone: certainly rolled back
    ├── RemoteError               a function that ran elsewhere raised an error of a class that is not known here
    ├── ResultLost                a function ran elsewhere to its end, but what it returned cannot be had here
    ├── InvalidToken              a token is forged, too old, or none; the session has seen no more than before
    └── WaitError                 the write is committed; what failed is waiting for the replica
        ├── ReplicationTimeout    the replica has not replayed it in time
        └── NotAReplica           there is no replay to wait for on this server

Errors met while executing SQL are not here: they are psycopg2's own classes, exactly as the primary raised them. Where
a database driver's caller must be able to catch one of these, it is also a ``psycopg2.OperationalError`` (or
``NotSupportedError``), and under peewee a ``peewee.OperationalError`` as well.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "AuthenticationFailed",
    "ConfigurationError",
    "FlyOrmError",
    "InvalidToken",
    "NoNode",
    "NotAReplica",
    "NotDelivered",
    "NotPortable",
    "NotPrimary",
    "NotSupported",
    "OutcomeUnknown",
    "Refused",
    "RemoteError",
    "ReplicationTimeout",
    "ResultLost",
    "TransactionLost",
    "WaitError",
]


class FlyOrmError(Exception):
    """Root of fly_orm's own errors. Keyword facts become attributes; all of them pickle."""

    def __init__(self, message: str = "", **facts: Any) -> None:
        super().__init__(message)
        self.__dict__.update(facts)


class ConfigurationError(FlyOrmError, ValueError):
    """A setting, an address or a plug-in is wrong. Nothing was sent."""


class NotSupported(FlyOrmError):
    """The operation cannot work from a secondary region. Nothing ran."""


class NotPortable(FlyOrmError, TypeError):
    """A value is of a type that cannot travel between nodes. Nothing was sent."""


class NotDelivered(FlyOrmError):
    """No node received the request: it was certainly not executed, and may be sent again."""


class AuthenticationFailed(NotDelivered):
    """The node and this process do not hold the same secret, or somebody altered what they said."""


class NoNode(NotDelivered, ConfigurationError):
    """No node of the region is known: what lists them is wrong, or none runs there at the moment."""


class Refused(FlyOrmError):
    """A node received the request and declined it before executing anything; ``reason`` is a short word."""

    reason: str = "refused"


class NotPrimary(Refused):
    """The node's database is a replica, so it could not have executed the write."""

    reason = "not primary"


class OutcomeUnknown(FlyOrmError):
    """The request was sent and no answer came: it may or may not have executed. fly_orm never repeats it."""


class TransactionLost(FlyOrmError):
    """The connection that held the transaction is gone. Nothing of the transaction was committed."""


class RemoteError(FlyOrmError):
    """A function that ran on another node raised an error whose class is not known here, or may not travel.

    ``class_name`` is that class with its module, and ``text`` what the error said. What the function had committed
    before is committed.
    """

    class_name: str = ""
    text: str = ""


class ResultLost(FlyOrmError):
    """A function ran on another node to its end, and what it wrote is committed, but its result cannot be had here."""


class InvalidToken(FlyOrmError, ValueError):
    """A token cannot be used; ``reason`` is ``"forged"``, ``"expired"`` or ``"malformed"``. No write is affected."""

    reason: str = "malformed"


class WaitError(FlyOrmError):
    """Waiting for the replica failed. What was written is committed."""


class ReplicationTimeout(WaitError):
    """The replica did not replay the commit in time. The write is committed.

    Raised to callers only with ``wrap(…, on_lag="raise")``. ``lsn`` is the commit LSN, ``waited`` the seconds that were
    waited for it, and ``result`` what the write returned: a cursor, or what a function returned.
    """

    lsn: int | None = None
    waited: float = 0.0
    result: Any = None


class NotAReplica(WaitError):
    """The server asked for its replay position is not in recovery: there is nothing to wait for."""


def check_choice(name: str, value: object, *choices: object) -> None:
    """ConfigurationError if the value of an option is none of these."""
    if value not in choices:
        raise ConfigurationError(f"{name} is {' or '.join(map(repr, choices))}, not {value!r}")
