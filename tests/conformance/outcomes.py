"""What became of each test, and which became worse."""

from __future__ import annotations

from collections.abc import Mapping

OK, SKIP, FAIL, ERROR = "ok", "skip", "fail", "error"
_BADNESS = {OK: 0, SKIP: 1, FAIL: 2, ERROR: 2}
_MISSING = 3

Outcomes = Mapping[str, str]
"""By test id, as unittest forms it: one of the four."""


def worst(one: str | None, other: str) -> str:
    """The worse of what is known about a test, if anything is, and what is learnt now."""
    return other if one is None or _BADNESS[other] > _BADNESS[one] else one


def worse(plain: Outcomes, wrapped: Outcomes) -> dict[str, str]:
    """By id, how the tests came out that came out worse than plain, those that did not run included.

    A failure and an error are equally bad. What plain does not know, such as the set-up of a class, was ok there.
    """
    found = {}
    for test in sorted({*plain, *wrapped}):
        outcome = wrapped.get(test)
        badness = _MISSING if outcome is None else _BADNESS[outcome]
        if badness > _BADNESS[plain.get(test, OK)]:
            found[test] = outcome or "did not run"
    return found


def count(outcomes: Outcomes, *kinds: str) -> int:
    """How many tests came out so."""
    return sum(outcome in kinds for outcome in outcomes.values())
