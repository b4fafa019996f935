"""What tests of the transports that ship with fly_orm share."""

from __future__ import annotations

import threading
from contextlib import contextmanager

from fly_orm.testing.contract import tools


def our_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("fly-orm")]


@contextmanager
def node_of(transport, listen):
    """A node as long as the block lasts, none of whose threads outlives it."""
    with tools.node_of(transport, listen) as node:
        yield node
    tools.until(lambda: not our_threads(), complaint=our_threads)
