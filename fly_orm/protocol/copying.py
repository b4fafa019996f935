"""The data of a COPY, and of long results, as messages carry it."""

from __future__ import annotations

import msgspec

#: The most data that one message carries. A round trip carries one piece, so that longer ones are faster; but each has
#: to arrive in time, also where the network is slow, and both ends hold two or three of them.
PIECE_BYTES = 2 * 1024 * 1024

#: The same for the values of a result. Each short one takes ten times its length in memory before it is encoded.
RESULT_PIECE_BYTES = 1024 * 1024


class BrokenInput(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The end of the input of a COPY … FROM STDIN that could not be read to its end: the COPY fails after it."""

    data: bytes
    error_class: str = ""
    """The name of the class of the error; empty if there was none, and what was read was not text or bytes."""
    error: str = ""
