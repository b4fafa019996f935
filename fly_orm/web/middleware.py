"""What both kinds of middleware are made of: the application, and how its tokens travel."""

from __future__ import annotations

from typing import Generic, TypeVar

from .carrier import COOKIE, HEADER, MAX_AGE, Carrier

A = TypeVar("A")


class Middleware(Generic[A]):
    """Base of both, which says what they take."""

    def __init__(
        self,
        app: A,
        *,
        reads: bool = False,
        max_age: float = MAX_AGE,
        cookie: str = COOKIE,
        header: str = HEADER,
    ) -> None:
        self._app = app
        self._carrier = Carrier(reads=reads, max_age=max_age, cookie=cookie, header=header)
