"""The serving side of the benchmark of transports: a node, and beside it an echo behind the same handshake."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import peewee

import fly_orm
from fly_orm.protocol.handshake import GuardedResponder
from fly_orm.protocol.secret import Secrets
from fly_orm.registry import make_transport
from fly_orm.settings import Settings
from fly_orm.topology import Topology

SECRET = "kT2v8Qw1nZ0yLr7Jm4HcXb6PdEs9GfUaVi3OoKqNtRw"
#: Where to listen, by transport, if not at a port of this machine.
_NAMES = {"inprocess": "{}", "nats": "nats:bench.{}"}


class Echo:
    """Answers each request with itself."""

    trusted = True

    def respond(self, request: bytes) -> bytes:
        return request

    def last_reply(self, *, is_full: bool = False) -> None:
        return None

    def gone(self) -> None:
        pass


@contextmanager
def served(transport: str, server: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The addresses of an echo, and of a node that serves a database on this server, while the block lasts."""
    settings = Settings(topology=Topology(region="syd", primary_region="syd"), transport=transport, secret=SECRET)
    parameters = dict(server)
    database = fly_orm.wrap(peewee.PostgresqlDatabase(parameters.pop("dbname"), **parameters), settings=settings)
    listen = _NAMES.get(transport, "127.0.0.1:0")
    echo = make_transport(transport, settings).serve(
        listen.format("echo"), lambda _peer: GuardedResponder(Secrets(SECRET), Echo())
    )
    try:
        with fly_orm.serve(database, listen=listen.format("node"), settings=settings) as serving:
            yield echo.address, serving.address
    finally:
        echo.close(0)


def main(transport: str, server: str) -> None:
    """Say the addresses, and serve until the input ends."""
    with served(transport, json.loads(server)) as addresses:
        print(*addresses, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
