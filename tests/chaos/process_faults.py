"""Faults of nodes, clients and the NATS server."""

from __future__ import annotations

import signal

from .checker import CLIENT_KILLED
from .children import Child
from .faults import Hand, Kind
from .history import Left

#: How long a process is stopped at most (seconds): longer than a request may take.
LONGEST = 5.0


def kill_node(hand: Hand) -> None:
    node = _note(hand, "node killed", hand.dice.choice(hand.world.nodes))
    node.kill()
    hand.wait(1.0)
    node.start_until_serving()


def restart_node(hand: Hand) -> None:
    """As a deploy does: what runs may finish."""
    node = _note(hand, "node restarted", hand.dice.choice(hand.world.nodes))
    if complaint := node.end():
        hand.world.journal.write(Left(process=node.name, what=complaint))
    hand.wait(1.0)
    node.start_until_serving()


def stop_node(hand: Hand) -> None:
    _stop(hand, "node stopped", hand.dice.choice(hand.world.nodes))


def kill_client(hand: Hand) -> None:
    client = _note(hand, CLIENT_KILLED, hand.dice.choice(hand.world.clients))
    client.kill()
    hand.world.replace_client(client)


def stop_client(hand: Hand) -> None:
    _stop(hand, "client stopped", hand.dice.choice(hand.world.clients))


def restart_nats(hand: Hand) -> None:
    hand.note("NATS restarted")
    hand.world.nats.restart()


def _stop(hand: Hand, what: str, child: Child) -> None:
    _note(hand, what, child)
    child.send(signal.SIGSTOP)
    hand.wait(LONGEST)
    child.send(signal.SIGCONT)


def _note(hand: Hand, what: str, child: Child) -> Child:
    hand.note(what, child.name)
    return child


KINDS = [
    Kind("node killed", kill_node),
    Kind("node restarted", restart_node),
    Kind("node stopped", stop_node),
    Kind(CLIENT_KILLED, kill_client),
    Kind("client stopped", stop_client),
    Kind("NATS restarted", restart_nats),
]
