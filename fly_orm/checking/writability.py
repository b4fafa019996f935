"""Finds out whether a node has the primary, so that writes can be forwarded, without writing anything."""

from __future__ import annotations

from ..deadline import Deadline
from ..errors import FlyOrmError
from ..forwarding.witnesses import ask_about
from ..routing.router import Router

#: Seconds that one node may take to answer.
_ANSWER_TIMEOUT = 2.0


def why_no_writes(router: Router, deadline: Deadline) -> str:
    """Why writes cannot be forwarded, judging by what nodes report by the deadline; empty if they can."""
    forwarder, name = router.forwarder, router.name
    region = forwarder.primary_of(name).current
    try:
        nodes = forwarder.directory.candidates(region, deadline)
    except FlyOrmError as error:
        return f"writes cannot be forwarded: {error}"
    problem = "no node has answered in time"
    for node in nodes:
        if deadline.expired:
            break
        try:
            server = ask_about(forwarder.directory.channels_to(node), name, deadline.within(_ANSWER_TIMEOUT))
        except FlyOrmError as error:
            problem = str(error)
            continue
        if server.primary:
            return ""
        problem = f"the server of {node} is a replica"
    failures: list[FlyOrmError] = []
    answers, _ = forwarder.witnesses(name, deadline, failures)  # after a failover, another region has the primary
    if any(server.primary for _, server in answers):
        return ""
    return f"writes cannot be forwarded: {problem}"
