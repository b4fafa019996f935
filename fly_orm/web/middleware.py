"""The base class of the middlewares."""

from __future__ import annotations

from typing import Generic, TypeVar

from .carrier import COOKIE, HEADER, MAX_AGE, Carrier

A = TypeVar("A")


class Middleware(Generic[A]):
    """An application, and the carrier of its tokens. Its options are those of all middlewares."""

    def __init__(
        self,
        app: A,
        *,
        reads: bool = False,
        max_age: float = MAX_AGE,
        cookie: str = COOKIE,
        header: str = HEADER,
        timing: bool = False,
    ) -> None:
        self._app = app
        self._timing = timing
        self._carrier = Carrier(reads=reads, max_age=max_age, cookie=cookie, header=header)
