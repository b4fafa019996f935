"""Addresses, as fly_orm uses them, and the NATS subjects that they stand for.

All subjects begin with ``fly_orm.``::

    fly_orm.node.NAME          callers ask for a channel here; the nodes of a name share it as a queue group
    fly_orm.only.ID            the same, for one node process
    fly_orm.who.APP            the discovery asks here which nodes the application has
    fly_orm.to.ID.SENDER       everything else: to one process, from another
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass

from fly_orm.errors import ConfigurationError

#: The queue group of the nodes of a name.
QUEUE = "fly_orm"

_NAME = r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*"
_ADDRESS = re.compile(rf"nats:(?P<name>{_NAME})(?:@(?P<id>[0-9a-f]+))?", re.ASCII)
_MAX_ADDRESS = 200


@dataclass(frozen=True, kw_only=True)
class Address:
    """A name that nodes serve, and the id of one of them if only that one is meant."""

    name: str
    id: str | None = None

    def __str__(self) -> str:
        return f"nats:{self.name}" + (f"@{self.id}" if self.id else "")

    @property
    def subject(self) -> str:
        """The subject at which to ask for a channel."""
        return only_subject(self.id) if self.id else node_subject(self.name)


def parse_address(text: str) -> Address:
    """The address that ``text`` is; ConfigurationError if it is malformed."""
    match = _ADDRESS.fullmatch(text)
    if match is None or len(text) > _MAX_ADDRESS:
        raise ConfigurationError(
            f"{text!r:.100} is not an address of the NATS transport: write nats:REGION, such as 'nats:syd', or "
            "nats:APP.REGION, with letters, digits, '_' and '-'; with FLY_ORM_DISCOVERY=nats you need to set neither "
            "FLY_ORM_NODES nor FLY_ORM_LISTEN",
            address=text,
        )
    return Address(name=match["name"], id=match["id"])


def region_address(app: str, region: str) -> Address:
    """The address that all nodes of a region share; ConfigurationError if the names cannot be part of an address."""
    return parse_address(f"nats:{app}.{region}" if app else f"nats:{region}")


def app_of(name: str) -> str:
    """The application that a name belongs to; empty if the name does not say."""
    return name.rpartition(".")[0]


def new_id() -> str:
    """An id that no other process has or can guess."""
    return secrets.token_hex(12)


def is_id(text: str) -> bool:
    """Whether this can be the id of a process. It becomes part of a subject, so it must not contain anything else."""
    return re.fullmatch(r"[0-9a-f]{24}", text, re.ASCII) is not None


def node_subject(name: str) -> str:
    """The subject at which to ask the nodes of a name for a channel."""
    return f"fly_orm.node.{name}"


def only_subject(id: str) -> str:  # noqa: A002
    """The subject at which to ask one node process for a channel."""
    return f"fly_orm.only.{id}"


def who_subject(app: str) -> str:
    """The subject at which to ask which nodes an application has."""
    return f"fly_orm.who.{app or '-'}"


def inbox(receiver: str, sender: str, *reference: str) -> str:
    """The subject for messages from one process to another.

    NATS answers at the reply subject if a message has reached nobody. The reference in it says which message that was.
    """
    return ".".join(("fly_orm.to", receiver, sender, *reference))
