"""The ways in which a suite is run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Mode:
    """One run of a suite."""

    name: str
    how: str
    """How the suite's databases are wrapped: ``plain`` (not at all), ``before`` or ``after`` they are bound; or as the
    suite's own modes say."""
    wait: str = "write"
    """What ``wrap()`` is told of when a write returns."""
    apply_delay: float = 0.0
    """Seconds by which the replica replays each commit later."""
    replicas: int = 1
    """How many replicas the suite's connections lead to in turn."""
    pooling: str | None = None
    """The mode of the PgBouncer between the suite and its servers; None without one."""

    @property
    def wrapped(self) -> bool:
        """Whether the suite is connected to replicas, through fly_orm."""
        return self.how != "plain"

    @property
    def is_control(self) -> bool:
        """Whether reads may be stale: a suite that passes so would not notice them."""
        return self.wait == "none"


DELAY = 0.04

PLAIN = Mode(name="plain", how="plain")
WRAPPED = (
    Mode(name="before_bind", how="before"),
    Mode(name="after_bind", how="after"),
    Mode(name="delayed", how="before", apply_delay=DELAY),
    Mode(name="two_replicas", how="before", replicas=2),
    Mode(name="session", how="before", pooling="session"),
    Mode(name="transaction", how="before", pooling="transaction"),
    Mode(name="transaction_two", how="before", pooling="transaction", replicas=2),
)
CONTROL = Mode(name="no_wait", how="before", wait="none", apply_delay=DELAY)

_PLAIN_POOLED = {
    pooling: Mode(name=f"plain_{pooling}", how="plain", pooling=pooling) for pooling in ("session", "transaction")
}


def baseline(mode: Mode) -> Mode:
    """The run that a wrapped one must not be worse than: without fly_orm, behind the same pooler if there is one."""
    return PLAIN if mode.pooling is None else _PLAIN_POOLED[mode.pooling]
