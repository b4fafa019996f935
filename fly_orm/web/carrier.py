"""Carries tokens in requests and responses: in a cookie for browsers, and in a header for other clients."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice

from ..errors import InvalidToken
from ..sessions.session import Session
from ..tokens.token import check_can_carry, resume_carried, text_of

log = logging.getLogger("fly_orm")

#: Seconds after which a token is ignored: by then, every replica should show what the request has written.
MAX_AGE = 3600.0
#: The length of a cookie, attributes included, that every browser accepts (RFC 6265, section 6.1).
MAX_COOKIE_LENGTH = 4096
#: The most cookies of one request that are looked at, and the most headers: to check a signature takes its time.
MOST_TOKENS = 8
COOKIE = "fly_orm_token"
HEADER = "Fly-Orm-Token"


@dataclass(frozen=True, kw_only=True)
class Carrier:
    """The options of the middleware, and what follows from them.

    ValueError for a ``max_age`` that is not a number above 0, ConfigurationError if tokens cannot be signed here.
    """

    reads: bool = False
    max_age: float = MAX_AGE
    cookie: str = COOKIE
    header: str = HEADER

    def __post_init__(self) -> None:
        if not (isinstance(self.max_age, int | float) and 0 < self.max_age < math.inf):
            raise ValueError(f"max_age must be a number of seconds above 0, not {self.max_age!r}")
        check_can_carry()

    def resume(self, cookies: Iterable[str], headers: Iterable[str]) -> None:
        """Resume the session of the calling context from the tokens in a request; ignore those that are not valid."""
        for text in chain(islice(_values(cookies, self.cookie), MOST_TOKENS), islice(headers, MOST_TOKENS)):
            try:
                resume_carried(text, max_age=self.max_age)
            except InvalidToken as error:
                log.info(
                    "ignored the token of a request: %s", error, extra={"event": "token_ignored", "problem": str(error)}
                )

    def headers(self, session: Session, before: object, *, https: bool) -> list[tuple[str, str]]:
        """The headers that carry a token in the response; none if the session has seen no more than ``before``."""
        if seen(session) == before:
            return []
        token = text_of(session)
        attributes = f"Path=/; Max-Age={self.max_age:.0f}; HttpOnly; SameSite=Lax" + ("; Secure" if https else "")
        cookie = f"{self.cookie}={token}; {attributes}"
        if len(cookie) > MAX_COOKIE_LENGTH:
            log.warning(
                "the token is sent only in the header %s: it covers too many databases to fit into a cookie",
                self.header,
                extra={"event": "token_too_long", "header": self.header},
            )
            return [(self.header, token)]
        return [("Set-Cookie", cookie), (self.header, token)]


def seen(session: Session) -> object:
    """What a session has seen, as a value to compare with what it has seen later."""
    return session.watermarks.positions(), session.watermarks.ends_of_doubts()


def is_https(scheme: str, forwarded: str) -> bool:
    """Whether the client uses HTTPS, to this server or to the first proxy on the way (``X-Forwarded-Proto``)."""
    return "https" in (scheme.lower(), forwarded.partition(",")[0].strip().lower())


def _values(cookies: Iterable[str], name: str) -> Iterator[str]:
    """The values of a cookie in the Cookie headers of a request (RFC 6265, section 5.4)."""
    pairs = (pair.strip().partition("=") for header in cookies for pair in header.split(";"))
    return (value for found, _, value in pairs if found == name)
