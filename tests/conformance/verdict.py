"""What the runs have to come to."""

from __future__ import annotations

from .outcomes import ERROR, FAIL, OK, SKIP, count, worse
from .run import Run
from .suites import Suite

#: So many tests have to be worse when nothing waits for a replica that is late. The run ends then.
LEAST_WORSE_IN_CONTROL = 100

HEADINGS = (
    "mode",
    "ran",
    "ok",
    "errors",
    "skipped",
    "worse",
    "SELECTs on replicas",
    "of all",
    "round trips",
    "seconds",
)


def enough_for_control(suite: Suite, plain: Run) -> int:
    """After how many failures the control has shown what it is for, whichever tests are among them."""
    return count(plain.outcomes, ERROR, FAIL) + len(suite.limits) + LEAST_WORSE_IN_CONTROL


def row(plain: Run, run: Run) -> tuple[object, ...]:
    """A run, compared with the plain one that it must not be worse than, by the headings."""
    selects = run.selects + run.selects_on_primary
    return (
        run.mode.name,
        run.ran,
        count(run.outcomes, OK),
        count(run.outcomes, ERROR, FAIL),
        count(run.outcomes, SKIP),
        len(_worse(plain, run)),
        run.selects,
        f"{run.selects / selects:.0%}" if selects and run.mode.wrapped else "-",
        "-" if run.round_trips is None else run.round_trips,
        f"{run.seconds:.1f}",
    )


def worse_tests(suite: Suite, plain: Run, run: Run) -> list[str]:
    """A line for each test that became worse, with what went wrong, and is none of the suite's limits."""
    found = _unexpected(suite, plain, run)
    return [f"{run.mode.name}: {test}: {outcome}: {run.complaints.get(test, '')}" for test, outcome in found.items()]


def objections(suite: Suite, plain: Run, run: Run) -> list[str]:
    """What is wrong with a run; empty if it is as it has to be."""
    name, found = run.mode.name, len(_unexpected(suite, plain, run))
    if run.mode.is_control:
        if found < LEAST_WORSE_IN_CONTROL:
            return [f"{name}: only {found} tests are worse than plain: the suite does not notice stale reads"]
        return []
    if not run.mode.wrapped:
        passed = count(run.outcomes, OK)
        return [f"{name}: only {passed} tests pass, so the others prove nothing"] if passed < suite.least_ok else []
    wrong = []
    if found:
        wrong.append(f"{name}: tests that are worse than plain: {found}")
    if run.selects < suite.least_selects:
        wrong.append(f"{name}: the replicas have served only {run.selects} of its SELECTs, not {suite.least_selects}")
    return wrong


def _unexpected(suite: Suite, plain: Run, run: Run) -> dict[str, str]:
    """By id, how the tests came out that came out worse and are not among the limits that a README states."""
    return {test: outcome for test, outcome in _worse(plain, run).items() if test not in suite.limits}


def _worse(plain: Run, run: Run) -> dict[str, str]:
    """By id, how the tests came out that came out worse. The control ends early: what it did not run does not count."""
    found = worse(plain.outcomes, run.outcomes)
    return {test: outcome for test, outcome in found.items() if test in run.outcomes or not run.mode.is_control}
