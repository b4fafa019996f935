"""How tokens travel with requests and responses: in a cookie for browsers, in a header for other clients."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from ..deadline import check_timeout
from ..errors import InvalidToken
from ..session import Session
from ..tokens import check_can_carry, resume, text_of

log = logging.getLogger("fly_orm")

#: Seconds after which every replica is expected to have what a request has written.
MAX_AGE = 3600.0
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
        check_timeout("max_age", self.max_age)
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
        return [("Set-Cookie", f"{self.cookie}={token}; {attributes}"), (self.header, token)]


def seen(session: Session) -> object:
    """What a session has seen, to be compared."""
    return sorted(session.watermarks)


def _values(cookies: Iterable[str], name: str) -> list[str]:
    """The values of a cookie in Cookie headers (RFC 6265, section 5.4), of which there should be one."""
    pairs = (pair.strip().partition("=") for header in cookies for pair in header.split(";"))
    return [value for found, _, value in pairs if found == name]
