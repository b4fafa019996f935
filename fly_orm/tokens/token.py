"""What a session has seen, as a short text that lets another process go on from there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import msgspec

from ..errors import InvalidToken
from ..position import Position
from ..protocol import encoding
from ..routing.router import Router, routers
from ..runtime.runtime import current_runtime
from ..sessions.activity import Activity
from ..sessions.context import current
from ..sessions.session import UNKNOWN_SECONDS, Session
from .signing import can_sign, check_can_sign, sign, unsign

#: Seconds after which a token is refused: by then every replica that is still of use has replayed what it covers.
MAX_AGE = 86400.0


class _Told(msgspec.Struct, frozen=True, array_like=True):
    """What a token says."""

    known: dict[str, Position] = {}
    doubts: dict[str, Annotated[float, msgspec.Meta(ge=0, le=UNKNOWN_SECONDS)]] = {}
    """The databases with a write of unknown outcome, and for how many seconds reads stay on the primary for it."""


_told = encoding.decoder(_Told)


def token(*, reads: bool = True) -> str:
    """What this session has seen, as a text; ``resume()`` in any process of the application goes on from there.

    The text is URL-safe, about 90 characters long for one database, and signed with ``FLY_ORM_SECRET``. It holds the
    position of each database and no data. It is empty if there is nothing to tell, as in an application of one region.
    Call it after the commit. It covers what the session wrote and what it read; ``reads=False`` leaves out what it read
    on the local server, which saves one query per database.

    Raises ConfigurationError if there is no secret, or if the extra ``tokens`` is not installed. If a server cannot be
    asked for its position, the next process reads from the primary. Any thread may call.
    """
    session = current()
    ask(session, questions(session, reads=reads))
    return text_of(session)


def resume(text: str, *, max_age: float | None = MAX_AGE) -> None:
    """Make this session's reads at least as fresh as everything seen by the session that issued the token.

    The next read of each database waits for at most ``replication_timeout`` until the local replica shows as much, and
    then goes to the primary. It goes there at once if the replica belongs to another system, is not known to follow the
    token's timeline, or has been through a failover since the token was issued. The primary's next answer replaces what
    the token said. An empty token does nothing.

    Raises InvalidToken if the token was forged, altered, or signed more than ``max_age`` seconds ago (None is no
    limit); the session is unchanged then. Raises ConfigurationError as :func:`token` does.
    """
    if not text:
        return
    payload, age = unsign(text, current_runtime().settings.secrets, max_age)
    told, session = _decode(payload), current()
    for database, position in told.known.items():
        session.resume(database, position)
    for database, seconds in told.doubts.items():
        if seconds > age:
            session.doubt(database, seconds - age)
    for router in routers():
        router.wrapped.clear_cached_results()


def resume_carried(text: str, *, max_age: float | None = MAX_AGE) -> bool:
    """Do what :func:`resume` does with what a request or a job has brought along, unless only one region exists here.

    Returns whether it has done so.

    An application of one region needs neither a secret nor the extra ``tokens``, but may receive tokens: from a time
    when it had several regions, or from another application on the host, whose cookies the browser sends as well. If
    it cannot verify them, it ignores them.
    """
    settings = current_runtime().settings
    counts = bool(text) and (settings.topology.primary_region is not None or can_sign(settings.secrets))
    if counts:
        resume(text, max_age=max_age)
    return counts


def check_can_carry() -> None:
    """Raise ConfigurationError if there are other regions to send tokens to, and tokens cannot be signed here."""
    settings = current_runtime().settings
    if settings.topology.primary_region is not None:
        check_can_sign(settings.secrets)


def questions(session: Session, *, reads: bool) -> list[tuple[Router, Activity]]:
    """The questions to the local servers that a token of this session depends on."""
    if current_runtime().settings.topology.primary_region is None:
        return []
    asked = ((router, router.unreported_activity(session, reads=reads)) for router in routers())
    return [(router, activity) for router, activity in asked if activity is not None]


def ask(session: Session, questions: Iterable[tuple[Router, Activity]]) -> None:
    """Ask them, and note the answers in the session's watermarks."""
    for router, activity in questions:
        position = router.position_after(activity, session)
        if position is not None and position.is_unknown:
            session.watermarks.doubt(router.name, UNKNOWN_SECONDS)
        elif position is not None:
            session.watermarks.merge(router.name, position)


def text_of(session: Session) -> str:
    """The token of what a session is known to have seen, without asking any server."""
    told = _Told(session.watermarks.positions(), session.watermarks.doubts())
    return sign(encoding.encode(told), current_runtime().settings.secrets) if told.known or told.doubts else ""


def _decode(payload: bytes) -> _Told:
    try:
        told: _Told = _told.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:  # of another release, as the signature is right
        raise InvalidToken(f"the token cannot be read by this release: {error}", reason="malformed") from error
    return told
