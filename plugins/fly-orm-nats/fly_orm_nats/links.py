"""The link that is in use at present, opened when it is needed, and again when it has been lost."""

from __future__ import annotations

import threading

from fly_orm.transport import Deadline, abandon_in_children

from .connection import Connector, Unreachable
from .link import Link
from .options import Options


class Links:
    """Gives out one link at a time. Any thread may call, in a forked process as well."""

    def __init__(self, options: Options) -> None:
        self._connector = Connector(options)
        self._lock = threading.Lock()
        self._current: Link | None = None

    def get(self, deadline: Deadline) -> Link:
        """A link that is open; Unreachable if none can be opened in time."""
        with self._lock:
            link = self._current
            if link is None or link.lost:
                link = self._current = Link(self._connector)
                abandon_in_children(self)
                try:
                    link.start()
                except RuntimeError as error:
                    self._current = None
                    raise Unreachable(str(error)) from error
        link.wait_until_open(deadline)
        return link

    def abandon(self) -> None:
        """The link stays with the parent."""
        self._lock = threading.Lock()
        self._current = None
