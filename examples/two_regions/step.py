"""The messages between the processes of the demo."""

from __future__ import annotations

import enum
import json
from dataclasses import asdict, dataclass

#: The line that follows a visitor's last step.
END = "end"
#: Number of posts that the hard work publishes.
ITEMS = 200


class Kind(str, enum.Enum):
    """How a step counts in the verdict."""

    WRITE = "write"
    """It committed something; a read back follows."""
    READ_BACK = "read back"
    """It read what had been written."""
    CHECK = "check"
    """It passes or fails in some other way."""
    OTHER = "other"
    """It is shown, and does not count."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One thing that a visitor of the app did, and how it went. Durations are seconds."""

    name: str
    kind: Kind
    region: str
    """The region that served it."""
    why: str
    local: bool
    """Whether it was served in the visitor's own region."""
    seconds: float
    rpc: float
    wait: float
    ok: bool = True
    """Whether it passed: for a read back, whether it saw what had been written."""

    def encode(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def decode(cls, line: str) -> Step:
        """The step encoded in a line."""
        fields = json.loads(line)
        return cls(**{**fields, "kind": Kind(fields["kind"])})
