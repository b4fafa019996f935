"""The exceptions that fly_orm defines, grouped by what each one means for the write.

::

    FlyOrmError
    │
    │   Nothing was executed, and repeating it will fail in the same way:
    ├── ConfigurationError        a setting, an address or a plug-in is wrong
    ├── NotSupported              the operation does not work from a secondary region
    ├── NotPortable               a value is of a type that cannot be sent to another node
    │
    │   Nothing was executed, and it is safe to repeat:
    ├── NotDelivered              no node received the request
    │   ├── AuthenticationFailed  the node and this process hold different secrets
    │   ├── NoChannel             all channels to the nodes are in use, or a node has no place for another one
    │   └── NoNode                no node of the region is known; also a ConfigurationError
    ├── Refused                   a node received the request and declined it before executing anything
    │   └── NotPrimary            the database of that node is a replica, or a superseded primary
    ├── TransactionLost           the connection that held the transaction is gone; all of it was rolled back
    │
    │   It may have been executed. Look before you repeat it; fly_orm never does:
    ├── OutcomeUnknown            the request was sent, and no reply arrived
    │
    │   It was executed. Do not repeat it:
    ├── AlreadyCommitted          a transaction with the same operation key was committed before this one
    ├── RemoteError               a function raised an exception whose class is not known here
    ├── ResultLost                a function or statement was executed, but its result did not reach its caller
    ├── WaitError                 the write is committed, but waiting for the replica failed
    │   ├── ReplicationTimeout    the replica did not replay it in time
    │   └── NotAReplica           the server is not in recovery, so there is no replay to wait for
    │
    │   No write is affected:
    └── InvalidToken              a token is forged, expired or malformed

Errors that Postgres reports for a statement are not in this tree: they are raised as psycopg2's own classes, exactly as
the primary raised them. Where the caller of a database driver must be able to catch one of the exceptions above, it is
also a ``psycopg2.OperationalError`` (or ``NotSupportedError``), and the class of that name of an ORM that has its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = [
    "AlreadyCommitted",
    "AuthenticationFailed",
    "ConfigurationError",
    "FlyOrmError",
    "InvalidToken",
    "NoChannel",
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


#: The user and the password of a URL, which no message repeats. The password may contain anything but spaces.
_CREDENTIALS = re.compile(r"//[^\s/@:]*:\S*@")


class FlyOrmError(Exception):
    """Base of all exceptions that fly_orm defines. Keyword arguments become attributes. Every exception pickles."""

    node: str | None = None
    """The node concerned, as ``region=address``; None if there is no such node, or more than one."""

    def __init__(self, message: str = "", **facts: Any) -> None:
        super().__init__(_CREDENTIALS.sub("//…@", message))
        self.__dict__.update(facts)


class ConfigurationError(FlyOrmError, ValueError):
    """A setting, an address or a plug-in is wrong. Nothing was sent."""


class NotSupported(FlyOrmError):
    """The operation does not work from a secondary region. Nothing was executed."""


class NotPortable(FlyOrmError, TypeError):
    """A value is of a type that cannot be sent to another node.

    Nothing was sent, unless the value is the result of an exactly-once function, which was rolled back.
    """


class NotDelivered(FlyOrmError):
    """No node received the request. Nothing was executed, so it is safe to repeat."""

    failures: Sequence[FlyOrmError] = ()
    """The error of each attempt, in order, if nodes were tried one after another."""
    accepted: bool = False
    """Whether something accepted the connection, but did not answer as a node with the same settings for TLS would."""


class AuthenticationFailed(NotDelivered):
    """The node and this process hold different secrets, or the handshake was tampered with. Nothing was executed.

    Set the same ``FLY_ORM_SECRET`` on both.
    """


class NoChannel(NotDelivered):
    """Every channel to a node stayed in use for too long, or the node has no place for another one. Nothing was sent.

    This says nothing against the node itself. If it happens often, let transactions and functions be shorter, raise
    ``max_channels``, or add a node.
    """

    full: bool = False
    """Whether the node has no place for another channel, and none of this process is open."""


class NoNode(NotDelivered, ConfigurationError):
    """No node of the region is known: none is running there now, or they are not listed. Nothing was sent."""


class Refused(FlyOrmError):
    """A node received the request and declined it before executing anything, so it is safe to repeat."""

    reason: str = "refused"
    """Why, in a word or two, such as ``"busy"``, ``"draining"`` or ``"unknown database"``."""
    failures: Sequence[FlyOrmError] = ()
    """The error of each attempt, in order, if nodes were tried one after another."""


class NotPrimary(Refused):
    """The node's database is a replica, or a primary that was superseded: the node declined, and executed nothing."""

    reason = "not primary"
    superseded: Mapping[str, Any] = {}
    """By database, the node's primary, if it is on an older timeline than this process has seen."""


class OutcomeUnknown(FlyOrmError):
    """The request was sent, and no reply arrived: it may or may not have been executed.

    fly_orm never repeats it. Wait for ``settled_after`` seconds, and look whether the work is done before you repeat
    it: this session reads from the primary until its position is known again, or for half a minute, so that it finds
    the work if it was done.
    """

    settled_after: float | None = None
    """Seconds, from when this was raised, for which the request may still take effect. What the primary shows then is
    final; docs/reliability.md says what that relies on. None if there is no bound: the request had no timeout, it was a
    COMMIT that may wait for a synchronous standby, or the node runs a release that does not bound it."""
    problem: str = ""
    """Why no reply came, such as ``"the connection was closed"``; empty if the transport did not say."""


class TransactionLost(FlyOrmError):
    """The connection that held the transaction is gone. The transaction was rolled back, so it is safe to repeat.

    The same goes for a COPY outside of a transaction that was lost before it had all of its input.
    """


class AlreadyCommitted(FlyOrmError):
    """A transaction with the same operation key was committed before, and this one was rolled back.

    An earlier attempt has done the work, such as one of this process before it lost its connection, or one of another
    process. Do not repeat it. See :func:`fly_orm.operation`.
    """


class RemoteError(FlyOrmError):
    """A function on another node raised an exception that cannot be raised here as itself.

    Its class is not registered, or not known here. Or it is one of fly_orm's own, such as the NotDelivered of a call
    inside of the function: raised here, that would say that this call was not delivered. What the function had
    committed before it raised is committed; one that is ``exactly_once`` has committed nothing.
    """

    class_name: str = ""
    """That class, with its module."""
    text: str = ""
    """The message of the original exception."""


class ResultLost(FlyOrmError):
    """A function, or an exactly-once statement, was executed on another node, but its result did not reach its caller.

    What it wrote is committed. Do not repeat it.
    """


class InvalidToken(FlyOrmError, ValueError):
    """A token cannot be used. No write is affected, and the session is as it was before."""

    reason: str = "malformed"
    """``"forged"``, ``"expired"`` or ``"malformed"``."""


class WaitError(FlyOrmError):
    """Waiting for the replica failed. The write is committed. Do not repeat it."""


class ReplicationTimeout(WaitError):
    """The replica did not replay the commit in time. The write is committed. Do not repeat it.

    Callers get it only if the database was wrapped with ``wrap(…, on_lag="raise")``.
    """

    lsn: int | None = None
    """The commit LSN."""
    waited: float = 0.0
    """Seconds spent waiting for the replica."""
    result: Any = None
    """What the write returned: a cursor, or the result of a function."""


class NotAReplica(WaitError):
    """The server that was asked for its replay position is not in recovery, so there is nothing to wait for."""


def check_choice(name: str, value: object, *choices: object) -> None:
    """Raise ConfigurationError unless the value of the option ``name`` is one of the choices."""
    if value not in choices:
        raise ConfigurationError(f"{name} must be {' or '.join(map(repr, choices))}, not {value!r}")
