"""When a caller waits for its replica."""

from __future__ import annotations

from typing import Literal

#: When the caller waits until its replica shows what was written: at the write, at its next read, or never.
Wait = Literal["write", "read", "none"]
WAITS = ("write", "read", "none")
