"""The MACs are those of RFC 2104, as the standard library computes them."""

from __future__ import annotations

import hmac

from hypothesis import given
from hypothesis import strategies as st

from fly_orm.protocol.mac import Mac

KEYS = st.binary(max_size=64)


@given(KEYS, st.lists(st.binary(max_size=300), max_size=4))
def test_the_mac_of_some_parts_is_that_of_the_whole(key: bytes, parts: list[bytes]) -> None:
    assert Mac(key).of(*parts) == hmac.digest(key, b"".join(parts), "sha256")


def test_one_message_leaves_no_trace_in_the_next() -> None:
    mac = Mac(b"key")
    assert [mac.of(b"one"), mac.of(b"two")] == [hmac.digest(b"key", each, "sha256") for each in (b"one", b"two")]
