"""What a forwarded INSERT is on the wire: its bytes, and the time of encoding, sealing, opening and decoding it.

The messages are those of a real write, taken where the caller seals and opens them, and then worked on again and again
in this process. Transport and system calls are not in it; ``transports`` measures exchanges.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from timeit import repeat

from fly_orm.protocol.encoding import decode_reply, decode_request, encode
from fly_orm.protocol.handshake import Seal
from tests.support.tables import Table

from ..duration import times
from ..report import us
from ..world import World, model

ROUNDS, EACH = times(50, 5), 1000


@dataclass(kw_only=True)
class Heard:
    """The last messages that were sealed and opened."""

    requests: list[bytes] = field(default_factory=list)
    replies: list[bytes] = field(default_factory=list)


def run(world: World) -> Table:
    """The request, and its reply."""
    with world.lax() as lax, _heard() as heard:
        row = model(lax)
        for number in range(5):
            row.create(name="on the wire", number=number)
    request, reply = heard.requests[-1], heard.replies[-1]
    asked, answered = decode_request(request), decode_reply(reply)
    rows = [
        ("request", len(request), *_costs(request, lambda: encode(asked), lambda: decode_request(request))),
        ("reply", len(reply), *_costs(reply, lambda: encode(answered), lambda: decode_reply(reply))),
    ]
    return Table(
        title="a forwarded INSERT on the wire, seal not counted in its bytes: µs, the fastest rounds",
        headings=("", "bytes", "encode", "seal", "open", "decode", "together"),
        rows=rows,
    )


@contextmanager
def _heard() -> Iterator[Heard]:
    """What this process seals and opens while the block lasts; it is the caller, as the node is another one."""
    heard, close, opens = Heard(), Seal.close, Seal.open

    def hear_request(seal: Seal, message: bytes) -> bytes:
        heard.requests.append(bytes(message))
        return close(seal, message)

    def hear_reply(seal: Seal, sealed: bytes) -> bytes | None:
        message = opens(seal, sealed)
        heard.replies.append(bytes(message or b""))
        return message

    Seal.close, Seal.open = hear_request, hear_reply  # type: ignore[method-assign]
    try:
        yield heard
    finally:
        Seal.close, Seal.open = close, opens  # type: ignore[method-assign]


def _costs(message: bytes, encoding: Callable[[], object], decoding: Callable[[], object]) -> list[str]:
    here, there = Seal(b"a" * 32, b"b" * 32), Seal(b"b" * 32, b"a" * 32)
    opened = [here.close(message) for _ in range(ROUNDS * EACH)]
    if there.open(opened[0]) != message:
        raise AssertionError("the other end cannot open what was sealed")
    sealed = iter(opened[1:])
    closing = Seal(b"a" * 32, b"b" * 32)
    works = (encoding, lambda: closing.close(message), lambda: there.open(next(sealed)), decoding)
    taken = [_fastest(work) for work in works]
    return [us(each) for each in (*taken, sum(taken))]


def _fastest(work: Callable[[], object]) -> float:
    return min(repeat(work, number=EACH - 1, repeat=ROUNDS)) / (EACH - 1)
