"""What came of a statement on the primary."""

from __future__ import annotations

from typing import NamedTuple

from ..protocol.messages import Result
from .freshness import Waited


class Forwarded(NamedTuple):
    """What a statement returned on the primary, and how the wait for the replica ended."""

    result: Result
    waited: Waited = Waited()


#: Nothing was sent. Its ``result`` is compared by identity.
NOT_SENT = Forwarded(Result())
