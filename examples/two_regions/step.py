"""What the processes of the demo tell each other."""

from __future__ import annotations

import enum
import json
from dataclasses import asdict, dataclass

#: The line that follows a visitor's last step.
END = "end"
#: How many posts the hard work is.
ITEMS = 200


class Kind(str, enum.Enum):
    """What a step does for the demo's verdict."""

    WRITE = "write"
    """It committed something, and a read back follows."""
    READ_BACK = "read back"
    """It read what had been written."""
    CHECK = "check"
    """It came out right or wrong in another way."""
    OTHER = "other"
    """It is only shown."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One thing that a visitor of the app did, and how it went. Durations are seconds."""

    name: str
    kind: Kind
    region: str
    """Where it was served."""
    why: str
    local: bool
    """Whether it was served in the visitor's own region."""
    seconds: float
    rpc: float
    wait: float
    ok: bool = True
    """Whether it came out as it should: a read back saw what had been written."""

    def encode(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def decode(cls, line: str) -> Step:
        """The step that such a line describes."""
        fields = json.loads(line)
        return cls(**{**fields, "kind": Kind(fields["kind"])})
