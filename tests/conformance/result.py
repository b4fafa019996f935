"""Notes what becomes of each test."""

from __future__ import annotations

import unittest
from typing import Any

from .outcomes import ERROR, FAIL, OK, SKIP, count, worst


class NotingResult(unittest.TestResult):
    """A result that knows the outcome of every test by its id, and the last line of what went wrong.

    After ``enough`` tests that went wrong, it stops the run; 0 is never.
    """

    def __init__(self, enough: int = 0) -> None:
        super().__init__()
        self._enough = enough
        self.outcomes: dict[str, str] = {}
        self.complaints: dict[str, str] = {}

    def addSuccess(self, test: Any) -> None:  # noqa: N802  # unittest's names, here and below
        super().addSuccess(test)
        self._note(test, OK)

    def addSkip(self, test: Any, reason: str) -> None:  # noqa: N802
        super().addSkip(test, reason)
        self._note(test, SKIP)

    def addError(self, test: Any, err: Any) -> None:  # noqa: N802
        super().addError(test, err)
        self._note(test, ERROR, err)

    def addFailure(self, test: Any, err: Any) -> None:  # noqa: N802
        super().addFailure(test, err)
        self._note(test, FAIL, err)

    def addExpectedFailure(self, test: Any, err: Any) -> None:  # noqa: N802
        super().addExpectedFailure(test, err)
        self._note(test, OK)

    def addUnexpectedSuccess(self, test: Any) -> None:  # noqa: N802
        super().addUnexpectedSuccess(test)
        self._note(test, FAIL)

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:  # noqa: N802
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._note(test, FAIL if issubclass(err[0], test.failureException) else ERROR, err)

    def note(self, name: str, outcome: str, complaint: str | None = None) -> None:
        """Note what became of a test, or of a part of it, and what went wrong."""
        self.outcomes[name] = worst(self.outcomes.get(name), outcome)
        if complaint is not None:
            self.complaints[name] = complaint
        if self._enough and outcome in (FAIL, ERROR) and count(self.outcomes, FAIL, ERROR) >= self._enough:
            self.stop()

    def _note(self, test: Any, outcome: str, error: Any = None) -> None:
        lines = [] if error is None else str(error[1]).strip().splitlines()
        self.note(test.id(), outcome, error and f"{error[0].__name__}: {lines[0] if lines else ''}")
