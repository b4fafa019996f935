"""The names of things: addresses as fly_orm knows them, and the subjects of NATS that they stand for.

All subjects begin with ``fly_orm.``::

    fly_orm.node.NAME          a channel is asked for here; the nodes of a name share it as a queue group
    fly_orm.only.ID            the same, for one node process only
    fly_orm.who.APP            whoever serves a region of the application answers here
    fly_orm.to.ID.SENDER       everything else: to a process, from a process
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass

from fly_orm.errors import ConfigurationError

#: The queue group that the nodes of a name form.
QUEUE = "fly_orm"

_NAME = r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*"
_ADDRESS = re.compile(rf"nats:(?P<name>{_NAME})(?:@(?P<id>[0-9a-f]+))?", re.ASCII)
_MAX_ADDRESS = 200


@dataclass(frozen=True, kw_only=True)
class Address:
    """A name that nodes serve, and perhaps which of them."""

    name: str
    id: str | None = None

    def __str__(self) -> str:
        return f"nats:{self.name}" + (f"@{self.id}" if self.id else "")

    @property
    def subject(self) -> str:
        """Where a channel is asked for."""
        return only_subject(self.id) if self.id else node_subject(self.name)


def parse_address(text: str) -> Address:
    """The address that ``text`` is; ConfigurationError if it is malformed."""
    match = _ADDRESS.fullmatch(text)
    if match is None or len(text) > _MAX_ADDRESS:
        raise ConfigurationError(
            f"{text!r} is not an address of the NATS transport: write nats:REGION, such as 'nats:syd', or "
            "nats:APP.REGION, of letters, digits, '_' and '-'; with FLY_ORM_DISCOVERY=nats neither FLY_ORM_NODES nor "
            "FLY_ORM_LISTEN has to be set",
            address=text,
        )
    return Address(name=match["name"], id=match["id"])


def region_address(app: str, region: str) -> Address:
    """The address of all nodes of a region; ConfigurationError if the names cannot be part of one."""
    return parse_address(f"nats:{app}.{region}" if app else f"nats:{region}")


def app_of(name: str) -> str:
    """The application that a served name belongs to; empty if it says none."""
    return name.rpartition(".")[0]


def new_id() -> str:
    """An id that no other process has, nor can guess."""
    return secrets.token_hex(12)


def is_id(text: str) -> bool:
    """Whether a process can have this id: it becomes part of a subject."""
    return re.fullmatch(r"[0-9a-f]{24}", text, re.ASCII) is not None


def node_subject(name: str) -> str:
    """Where the nodes of a name are asked for channels."""
    return f"fly_orm.node.{name}"


def only_subject(id: str) -> str:  # noqa: A002
    """Where one node process is asked for channels."""
    return f"fly_orm.only.{id}"


def who_subject(app: str) -> str:
    """Where the nodes of an application are asked who is there."""
    return f"fly_orm.who.{app or '-'}"


def inbox(receiver: str, sender: str, *rest: str) -> str:
    """Where a process hears another; what follows tells answers of NATS itself apart."""
    return ".".join(("fly_orm.to", receiver, sender, *rest))
