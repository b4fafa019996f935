"""Carries tokens in requests and responses: in cookies for browsers, and in a header for other clients.

A browser may get the responses to parallel requests in any order, and none of them may replace what another one has
told. So each token has a cookie of its own name. Its response removes the cookies that its request has brought along,
since the token covers what they tell. So there is one cookie, as a rule, and a few for a moment after parallel writes.
"""

from __future__ import annotations

import hashlib
import logging
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from ..errors import InvalidToken
from ..sessions.context import current
from ..sessions.session import Session
from ..tokens.token import check_can_carry, resume_carried, text_of

log = logging.getLogger("fly_orm")

#: Seconds after which a token is ignored: by then, every replica should show what the request has written.
MAX_AGE = 3600.0
#: The length of a cookie, attributes included, that every browser accepts (RFC 6265, section 6.1).
MAX_COOKIE_LENGTH = 4096
#: The most cookies of one request that are looked at, and the most headers: to check a signature takes its time.
MOST_TOKENS = 8
#: The most cookies that are left as they are by a response that has nothing new to tell.
MOST_COOKIES = 3
COOKIE = "fly_orm_token"
HEADER = "Fly-Orm-Token"


@dataclass(frozen=True, kw_only=True)
class Received:
    """What a request has brought along."""

    seen: object
    """What its session has seen, as a value to compare with what it has seen later."""
    cookies: tuple[str, ...]
    """The names of the cookies whose tokens count."""


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

    def resume(self, cookies: Iterable[str], headers: Iterable[str]) -> Received:
        """Resume the session of the calling context from the tokens in a request; ignore those that are not valid."""
        found = [(name, token) for name, token in self._cookies(cookies) if token]
        names = tuple(name for name, token in found[-MOST_TOKENS:] if _resumed(token, self.max_age))  # the newest
        for token in islice(headers, MOST_TOKENS):
            _resumed(token, self.max_age)
        return Received(seen=_seen(current()), cookies=names)

    def headers(self, session: Session, received: Received, *, https: bool) -> list[tuple[str, str]]:
        """The headers that carry a token in the response; none if the session has seen no more than its request told.

        If that has brought many cookies along, one takes the place of all of them.
        """
        if _seen(session) == received.seen and len(received.cookies) <= MOST_COOKIES:
            return []
        token = text_of(session)
        name = f"{self.cookie}_{hashlib.blake2s(token.encode(), digest_size=4).hexdigest()}"
        attributes = "Path=/; Max-Age={}; HttpOnly; SameSite=Lax" + ("; Secure" if https else "")
        cookie = f"{name}={token}; {attributes.format(round(self.max_age))}"
        if len(cookie) > MAX_COOKIE_LENGTH:
            log.warning(
                "the token is sent only in the header %s: it covers too many databases to fit into a cookie",
                self.header,
                extra={"event": "token_too_long", "header": self.header},
            )
            return [(self.header, token)]
        covered = [f"{each}=; {attributes.format(0)}" for each in dict.fromkeys(received.cookies) if each != name]
        return [("Set-Cookie", value) for value in (cookie, *covered)] + [(self.header, token)]

    def _cookies(self, headers: Iterable[str]) -> list[tuple[str, str]]:
        """The names and values of the cookies in the Cookie headers of a request (RFC 6265, section 5.4)."""
        pairs = (pair.strip().partition("=") for header in headers for pair in header.split(";"))
        is_ours = re.compile(re.escape(self.cookie) + "(?:_[0-9a-f]{8})?").fullmatch
        return [(name, value) for name, _, value in pairs if is_ours(name)]


def _resumed(text: str, max_age: float) -> bool:
    """Resume the session of the calling context from a token; False if it is ignored."""
    try:
        return resume_carried(text, max_age=max_age)
    except InvalidToken as error:
        log.info("ignored the token of a request: %s", error, extra={"event": "token_ignored", "problem": str(error)})
        return False


def _seen(session: Session) -> object:
    return session.watermarks.positions(), session.watermarks.ends_of_doubts()


def is_https(scheme: str, forwarded: str) -> bool:
    """Whether the client uses HTTPS, to this server or to the first proxy on the way (``X-Forwarded-Proto``)."""
    return "https" in (scheme.lower(), forwarded.partition(",")[0].strip().lower())
