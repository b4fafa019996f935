"""How long something that is costly to open stays open while nobody uses it."""

from __future__ import annotations

from ..deadline import now

#: Seconds without use, as a rule. DROP DATABASE waits 5 seconds for the connections of others to go
#: (CountOtherDBBackends in Postgres' procarray.c).
SHORTEST = 4.0
#: Seconds without use, at most.
LONGEST = 120.0


class Patience:
    """The seconds without use after which something should be closed. Thread-safe.

    They grow where use recurs, as in a process that writes every 20 seconds: if it had to be opened again after such a
    silence, it stays open for twice as long from then on.
    """

    def __init__(self) -> None:
        self.seconds = SHORTEST
        self._used: float | None = None

    @property
    def left(self) -> float:
        """The seconds that are left since the last use; 0 or less if it should be closed."""
        return self.seconds if self._used is None else self._used + self.seconds - now()

    def used(self) -> None:
        """Note a use, or the end of one."""
        self._used = now()

    def opened(self) -> None:
        """Note that it had to be opened, before its use is noted."""
        silence = 0.0 if self._used is None else now() - self._used
        if silence > SHORTEST:
            self.seconds = 2 * silence if 2 * silence <= LONGEST else SHORTEST
