"""What came of a statement on the primary."""

from __future__ import annotations

from typing import NamedTuple

from ..protocol.messages import Result
from .freshness import Waited


class Forwarded(NamedTuple):
    """What a statement returned on the primary, and how the wait for the replica ended."""

    result: Result
    waited: Waited = Waited()


NOT_SENT = Forwarded(Result())
