"""What a session has seen, as a short text from which another process goes on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import msgspec

from ..errors import InvalidToken
from ..position import Position
from ..protocol import messages
from ..routing.router import Router, routers
from ..runtime.runtime import current_runtime
from ..sessions.activity import Activity
from ..sessions.context import current
from ..sessions.session import UNKNOWN_SECONDS, Session
from .signing import check_can_sign, sign, unsign

#: A token that is older (seconds) is refused: every replica has what it tells of, or is of no use any more.
MAX_AGE = 86400.0


class _Told(msgspec.Struct, frozen=True, array_like=True):
    """What a token says."""

    known: dict[str, Position] = {}
    doubts: dict[str, Annotated[float, msgspec.Meta(ge=0, le=UNKNOWN_SECONDS)]] = {}
    """The databases that may have got further, and for how many seconds reads keep off their replicas for that."""


_told = messages.decoder(_Told)


def token(*, reads: bool = True) -> str:
    """What this session has seen, as a text; ``resume()`` in any process of the application goes on from there.

    The text is URL-safe, about 90 characters long for one database, signed with ``FLY_ORM_SECRET``, and says how far
    each database was, not what is in it. It is empty if there is nothing to be told, as in an application of one
    region. Call it after the commit. It covers what was written and what was read; without ``reads`` it leaves out what
    was read here, which saves a question to the local server for each database.

    Raises ConfigurationError if there is no secret, or the extra ``tokens`` is not installed. If a server cannot be
    asked how far it is, the next process reads from the primary. Any thread may call.
    """
    session = current()
    ask(session, questions(session, reads=reads))
    return text_of(session)


def resume(text: str, *, max_age: float | None = MAX_AGE) -> None:
    """Let this session's reads be no older than what the session had seen that the token is of.

    The next read of such a database waits until the local replica shows as much, for at most ``replication_timeout``,
    and goes to the primary otherwise; so it does at once if the token is of before a failover that this replica has
    been through, of a timeline that the replica is not known to follow, or of another system. What the primary answers
    then takes the token's place. An empty token is none.

    Raises InvalidToken, with the session as before, for a token that was forged, altered, or signed more than
    ``max_age`` seconds ago (None is no limit), and ConfigurationError as :func:`token` does.
    """
    if not text:
        return
    payload, age = unsign(text, current_runtime().settings.secret, max_age)
    told, session = _decode(payload), current()
    for database, position in told.known.items():
        session.resume(database, position)
    for database, seconds in told.doubts.items():
        if seconds > age:
            session.doubt(database, seconds - age)
    for router in routers():
        router.wrapped.clear_cached_results()


def check_can_carry() -> None:
    """ConfigurationError if this process has something to tell other regions, and no way to sign it."""
    settings = current_runtime().settings
    if settings.topology.primary_region is not None:
        check_can_sign(settings.secret)


def questions(session: Session, *, reads: bool) -> list[tuple[Router, Activity]]:
    """What has to be asked of the local servers before a session can tell what it has seen."""
    if current_runtime().settings.topology.primary_region is None:
        return []
    asked = ((router, router.unreported_activity(session, reads=reads)) for router in routers())
    return [(router, activity) for router, activity in asked if activity is not None]


def ask(session: Session, questions: Iterable[tuple[Router, Activity]]) -> None:
    """Note the answers in the session."""
    for router, activity in questions:
        position = router.position_after(activity)
        if position is not None and position.is_unknown:
            session.watermarks.doubt(router.name, UNKNOWN_SECONDS)
        elif position is not None:
            session.watermarks.merge(router.name, position)


def text_of(session: Session) -> str:
    """The token of what a session is known to have seen."""
    told = _Told(session.watermarks.positions(), session.watermarks.doubts())
    return sign(messages.encode(told), current_runtime().settings.secret) if told.known or told.doubts else ""


def _decode(payload: bytes) -> _Told:
    try:
        told: _Told = _told.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:  # of another release, as the signature is right
        raise InvalidToken(f"the token cannot be read by this release: {error}", reason="malformed") from error
    return told
