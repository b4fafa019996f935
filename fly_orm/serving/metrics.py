"""What a node tells Prometheus, over the HTTP server of its health checks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from .http import Page
from .shared_answer import SharedAnswer

log = logging.getLogger("fly_orm.node")

#: Seconds that the metrics may take.
ANSWER_TIMEOUT = 4.0
#: Seconds for which they are not gathered again, however many clients ask.
MAX_AGE = 1.0


class MetricsPage:
    """Answers with the metrics. Used on the thread of an event loop, except for ``gather``, which may block."""

    def __init__(self, gather: Callable[[], Page]) -> None:
        self._gather = gather
        self._answer = SharedAnswer(self._gathered, "fly_orm metrics page")

    async def page(self) -> Page:
        """What to answer to those who want to know."""
        try:
            return await self._answer.get(max_age=MAX_AGE, timeout=ANSWER_TIMEOUT)
        except asyncio.TimeoutError:
            return Page(status=503, text=f"the metrics were not gathered within {ANSWER_TIMEOUT:g} seconds")

    def _gathered(self) -> Page:
        try:
            return self._gather()
        except Exception:
            log.exception("the metrics cannot be gathered", extra={"event": "metrics_failed"})
            return Page(status=500, text="the log says what is wrong")


def metrics_page(make: Callable[[], Callable[[], Page]]) -> MetricsPage:
    """The page of what ``make`` makes; one that says what to install, if it raises ImportError."""
    try:
        return MetricsPage(make())
    except ImportError as error:
        missing = Page(status=404, text=str(error))
        return MetricsPage(lambda: missing)
