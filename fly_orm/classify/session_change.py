"""What a statement may change in the Postgres session that executes it, through functions that it calls."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

# A custom setting's name is qualified (Postgres manual, section 19.16 "Customized Options").
_QUALIFIED = re.compile(r"'([a-z_][\w$]*(?:\.[a-z_][\w$]*)+)'", re.IGNORECASE)
#: The settings that decide what a session may see and do.
AUTHORIZATION = frozenset({"role", "session_authorization"})
#: Settings that change with another one: a new session user has no role (Postgres manual, SET SESSION AUTHORIZATION).
_ALSO = {"session_authorization": frozenset({"role"})}


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionChange:
    """What may have changed once a statement has run. Only a look at the Postgres session tells what has."""

    settings: frozenset[str] = frozenset()
    """The names of session settings, in lower case."""
    for_now: frozenset[str] = frozenset()
    """Customized settings that have a value until the transaction ends, and then are empty, and not missing."""
    anything: bool = False
    """Whether other session settings may have changed too, and session-level locks may have been taken."""
    resets: bool = False
    """Whether all session settings may have been reset that were changed before."""
    leaves_state: bool = False
    """Whether it may leave locks or temporary objects, so that it needs the primary."""
    locks: bool = False
    """Whether it may take locks that last as long as the transaction: on a replica, they would keep nobody out."""
    sticks: bool = False
    """Whether it may leave state that no query can find again, such as a seed."""
    until_end: bool = False
    """Whether it makes what lasts until the transaction ends: a local setting, or a cursor that it returns."""
    refused_in_recovery: bool = False
    """Whether it may do what a replica refuses although a READ ONLY transaction on the primary may do it."""
    acts_outside: bool = False
    """Whether it acts outside of the database, as over dblink. No rollback undoes that, so it must not run twice."""

    def __or__(self, other: SessionChange) -> SessionChange:
        return SessionChange(
            settings=self.settings | other.settings,
            for_now=self.for_now | other.for_now,
            anything=self.anything or other.anything,
            resets=self.resets or other.resets,
            leaves_state=self.leaves_state or other.leaves_state,
            locks=self.locks or other.locks,
            sticks=self.sticks or other.sticks,
            until_end=self.until_end or other.until_end,
            refused_in_recovery=self.refused_in_recovery or other.refused_in_recovery,
            acts_outside=self.acts_outside or other.acts_outside,
        )

    def __bool__(self) -> bool:
        """Whether it may outlast the transaction."""
        return bool(self.settings) or self.anything or self.resets or self.needs_primary

    @property
    def customized(self) -> frozenset[str]:
        """The customized settings that may be missing no longer."""
        names = self.settings | self.for_now
        return frozenset(name for name in names if "." in name) if names else names

    @property
    def may_change_role(self) -> bool:
        """Whether the session may act as another role."""
        return self.anything or self.sticks or not AUTHORIZATION.isdisjoint(self.settings)

    @property
    def needs_primary(self) -> bool:
        """Whether what it takes or leaves counts on the primary only, as a lock does."""
        return self.leaves_state or self.locks or self.sticks


NOTHING = SessionChange()
LEAVES_STATE = SessionChange(leaves_state=True)
LOCKS = SessionChange(locks=True)
STICKS = SessionChange(leaves_state=True, sticks=True)
RESETS = SessionChange(resets=True)
UNTIL_END = SessionChange(until_end=True)
REFUSED_IN_RECOVERY = SessionChange(refused_in_recovery=True)
ACTS_OUTSIDE = SessionChange(acts_outside=True)


def may_change_anything(source: str) -> SessionChange:
    """The change of code that cannot be judged; ``source`` may name the settings that it changes, locks, or dblink."""
    settings, lowered = frozenset(map(str.lower, _QUALIFIED.findall(source))), source.lower()
    return SessionChange(
        anything=True, settings=settings, locks="advisory" in lowered, acts_outside="dblink" in lowered
    )


def changes_setting(name: str | None, source: str = "") -> SessionChange:
    """The change of code that changes session settings, whose names commas separate; None if they are not known."""
    return may_change_anything(source) if name is None else changes_settings(name.split(","))


def changes_settings(names: Collection[str]) -> SessionChange:
    """The change of a statement that changes the session settings of these names, which are in lower case."""
    if "seed" in names:
        return STICKS
    return SessionChange(settings=frozenset(names).union(*(_ALSO.get(name, ()) for name in names)))


def changes_for_now(names: Collection[str]) -> SessionChange:
    """The change of a statement that changes the session settings of these names until the end of the transaction."""
    return SessionChange(for_now=frozenset(name for name in names if "." in name))
