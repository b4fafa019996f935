"""The notices of a connection to a primary, within bounds: all of those that are kept travel with a reply."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from psycopg2 import extensions as ext

from .libpq import notices_to

#: The most notices that are kept, and their most characters.
MOST_NOTICES, MOST_NOTICE_CHARS = 1000, 256 * 1024


class RecentNotices(deque[str]):
    """The last notices; without the oldest if they are too many, or too long. For psycopg2's ``connection.notices``."""

    def __init__(self) -> None:
        super().__init__(maxlen=MOST_NOTICES)
        self._left = MOST_NOTICE_CHARS

    def append(self, notice: str) -> None:
        """Add a notice, of which all but the beginning is dropped if it is very long."""
        notice = notice[:MOST_NOTICE_CHARS]
        self._left -= len(notice)
        while len(self) == self.maxlen or self._left < 0:
            self._left += len(self.popleft())
        super().append(notice)


@contextmanager
def kept_as_they_come(connection: Any) -> Iterator[None]:
    """A block that may take long, such as a COPY, in which notices reach ``connection.notices`` as they come.

    psycopg2 would keep all of them in memory until the statement has ended.
    """
    encoding = ext.encodings[connection.encoding]
    notices = connection.notices
    with notices_to(connection, lambda text: notices.append(text.decode(encoding, "replace"))):
        yield
