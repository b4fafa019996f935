"""Whether a node can execute what others send."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import NamedTuple

from ..protocol.inspecting import Inspected
from .http import Page
from .shared_answer import SharedAnswer

log = logging.getLogger("fly_orm.node")

#: Seconds after which a node whose servers have not answered is not ready.
ANSWER_TIMEOUT = 2.0
#: Seconds for which an answer is given again, however many clients ask.
MAX_AGE = 1.0


class Problem(NamedTuple):
    """Why a node is not ready."""

    text: str
    """For everybody who can reach the HTTP server."""
    detail: str = ""
    """For the log alone: it may name hosts and roles."""


SHUTTING_DOWN = Problem("it is shutting down")


def problems_of(inspected: Inspected, *, in_primary_region: bool) -> list[Problem]:
    """Why a node that describes itself like this cannot execute statements, in words; empty if it can.

    Outside of the primary region, a replica is not a problem: the node waits for its promotion.
    """
    if inspected.draining:
        return [SHUTTING_DOWN]
    problems = []
    for database in inspected.databases:
        if database.server is None:
            problems.append(Problem(f"the server of {database.name!r} does not answer", database.problem))
        elif in_primary_region and not database.server.primary:
            problems.append(Problem(f"the server of {database.name!r} is a replica", database.server.address))
    return problems


class Readiness:
    """Answers whether a node is ready, in bounded time, and asks for that once, however many want to know.

    Used on the thread of an event loop, except for ``ask``, which may block on a thread of its own.
    """

    def __init__(self, ask: Callable[[], list[Problem]], is_draining: Callable[[], bool]) -> None:
        self._ask = ask
        self._is_draining = is_draining
        self._answer = SharedAnswer(self._asked, "fly_orm readiness")
        self._logged: list[str] = []

    async def page(self) -> Page:
        """What to answer to those who want to know."""
        if self._is_draining():
            return _page([SHUTTING_DOWN])
        try:
            problems = await self._answer.get(max_age=MAX_AGE, timeout=ANSWER_TIMEOUT)
        except asyncio.TimeoutError:
            problems = [Problem(f"its servers have not answered within {ANSWER_TIMEOUT:g} seconds")]
        self._log(problems)
        return _page(problems)

    def _asked(self) -> list[Problem]:
        try:
            return self._ask()
        except Exception:
            log.exception("cannot find out whether this node is ready", extra={"event": "internal_error"})
            return [Problem("the check of its readiness failed; its log says why")]

    def _log(self, problems: list[Problem]) -> None:
        """Log what has changed."""
        texts = [problem.text for problem in problems]
        if texts == self._logged:
            return
        self._logged = texts
        if problems:
            log.warning(
                "this node is not ready: %s",
                "; ".join(": ".join(filter(None, each)) for each in problems),
                extra={"event": "not_ready", "problem": "; ".join(": ".join(filter(None, each)) for each in problems)},
            )
        else:
            log.info("this node is ready again", extra={"event": "ready"})


def _page(problems: list[Problem]) -> Page:
    if problems:
        return Page(status=503, text=f"not ready: {'; '.join(problem.text for problem in problems)}")
    return Page(status=200, text="ready")


async def alive() -> Page:
    """The page that says that the process serves."""
    return Page(status=200, text="alive")
