"""What a server is, as nodes tell each other to find out whether they mean the same one."""

from __future__ import annotations

from typing import Any

from ..postgres.recovery import is_replica
from ..postgres.write_ahead_log import read_history as read_primary_history
from ..protocol.messages import Described
from .asking import read_history as read_replica_history
from .instance import Instance, ask_instance


def describe(connection: Any, instance: Instance | None = None) -> Described:
    """The description of the server that a connection in autocommit has reached, also through a pooler.

    ``instance`` is the server's, if it is known.
    """
    instance = instance or ask_instance(connection)
    replica = is_replica(connection, pooled=True)  # a pooler, if there is one, may repeat an old report
    read_history = read_replica_history if replica else read_primary_history
    return Described(
        primary=not replica,
        history=read_history(connection),
        run=instance.run,
        address=str(instance),
    )
