"""How tokens travel with requests and responses: in a cookie for browsers, in a header for other clients."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import InvalidToken
from ..sessions.session import Session
from ..tokens.token import check_can_carry, resume, text_of

log = logging.getLogger("fly_orm")

#: Seconds after which every replica is expected to have what a request has written.
MAX_AGE = 3600.0
#: What browsers take at least (RFC 6265, section 6.1).
MAX_COOKIE_LENGTH = 4096
COOKIE = "fly_orm_token"
HEADER = "Fly-Orm-Token"


@dataclass(frozen=True, kw_only=True)
class Carrier:
    """What the middleware was told; ConfigurationError if tokens cannot be signed here, ValueError for a bad age."""

    reads: bool = False
    max_age: float = MAX_AGE
    cookie: str = COOKIE
    header: str = HEADER

    def __post_init__(self) -> None:
        if not (isinstance(self.max_age, int | float) and 0 < self.max_age < math.inf):
            raise ValueError(f"max_age is a number of seconds, more than 0, not {self.max_age!r}")
        check_can_carry()

    def resume(self, cookies: Iterable[str], headers: Iterable[str]) -> None:
        """Let the calling context's session go on from what a request brings; what is not valid is not minded."""
        for text in (*_values(cookies, self.cookie), *headers):
            try:
                resume(text, max_age=self.max_age)
            except InvalidToken as error:
                log.info("a request's token is not used: %s", error)

    def headers(self, session: Session, before: object, *, https: bool) -> list[tuple[str, str]]:
        """The headers for a response, if the session has seen more than it had ``before``, when it was resumed."""
        if seen(session) == before:
            return []
        token = text_of(session)
        attributes = f"Path=/; Max-Age={self.max_age:.0f}; HttpOnly; SameSite=Lax" + ("; Secure" if https else "")
        cookie = f"{self.cookie}={token}; {attributes}"
        if len(cookie) > MAX_COOKIE_LENGTH:
            log.warning("a token is in the header %s only: it tells of too many databases for a cookie", self.header)
            return [(self.header, token)]
        return [("Set-Cookie", cookie), (self.header, token)]


def seen(session: Session) -> object:
    """What a session has seen, to be compared."""
    return session.watermarks.positions(), session.watermarks.doubts().keys()


def is_https(scheme: str, forwarded: str) -> bool:
    """Whether the client speaks HTTPS, to this server or to the proxy nearest to it (X-Forwarded-Proto)."""
    return "https" in (scheme.lower(), forwarded.partition(",")[0].strip().lower())


def _values(cookies: Iterable[str], name: str) -> list[str]:
    """The values of a cookie in Cookie headers (RFC 6265, section 5.4), of which there should be one."""
    pairs = (pair.strip().partition("=") for header in cookies for pair in header.split(";"))
    return [value for found, _, value in pairs if found == name]
