"""Statements of a transaction that travel together, because their caller knows what their results have to be."""

from __future__ import annotations

import msgspec


class Step(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One statement of a batch. If its result is not as expected, nothing after it is executed."""

    statement: bytes
    least_rows: int = 0
    """The least row count that it may have."""
    unlike: str = ""
    """The name of known values. It has to return a row whose first value is not one of them, and becomes one."""


class Batch(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Statements that are executed in order inside of a transaction, and perhaps committed."""

    steps: list[Step]
    commits: bool = False
    """Whether to commit after the last one, if all have had results as expected."""
    known: dict[str, list[bytes]] = msgspec.field(default_factory=dict)
    """The values, by name, that some of them must not return."""
