"""Tokens in the messages of job queues."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from ..codec.names import signature_of
from ..errors import ConfigurationError, InvalidToken
from ..sessions.blocks import session
from .token import resume_carried, token

F = TypeVar("F", bound=Callable[..., Any])

log = logging.getLogger("fly_orm")

#: The keyword argument that carries the token.
KEYWORD = "fly_orm_token"


def carry() -> dict[str, str]:
    """Keyword arguments that tell a job, whose function is :func:`carried`, what this session has seen.

    They work with any queue that accepts strings as keyword arguments: ``send_welcome(user.id, **fly_orm.carry())``.
    Call it after the commit. Raises what :func:`fly_orm.token` raises. Any thread may call.
    """
    return {KEYWORD: token()}


def carried(function: F) -> F:
    """Decorate the function of a job, so that its reads are at least as fresh as what the enqueuing session had seen.

    Put it below the queue's own decorator. Each run has a session of its own, which goes on from the token that
    :func:`carry` put into the message. Without a token, the session has seen nothing. With a token that is too old,
    the job runs in such a session too, and a warning is logged. In an application of one region that has no
    ``FLY_ORM_SECRET``, a token is ignored.

    A run raises InvalidToken if its token was forged or altered. Decorating raises ConfigurationError for a generator.
    """
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise ConfigurationError(
            f"{_name(function)} is a generator function, and calling one runs nothing; decorate an ordinary function"
        )
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def wrapper(*args: Any, fly_orm_token: str = "", **kwargs: Any) -> Any:
            with _resumed(function, fly_orm_token):
                return await function(*args, **kwargs)

    else:

        @functools.wraps(function)
        def wrapper(*args: Any, fly_orm_token: str = "", **kwargs: Any) -> Any:
            with _resumed(function, fly_orm_token):
                return function(*args, **kwargs)

    wrapper.__signature__ = _with_token(signature_of(function))  # type: ignore[attr-defined]  # inspect.signature() takes it from there
    return wrapper  # type: ignore[return-value]  # apart from the keyword, it takes the same arguments


@contextmanager
def _resumed(function: Callable[..., Any], text: str) -> Iterator[None]:
    with session():
        try:
            resume_carried(text)
        except InvalidToken as error:
            if error.reason != "expired":
                raise
            log.warning(
                "%s runs in a session that has seen nothing: %s",
                _name(function),
                error,
                extra={"event": "token_ignored", "function": _name(function), "problem": str(error)},
            )
        yield


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__qualname__", repr(function))


def _with_token(signature: inspect.Signature) -> inspect.Signature:
    """The signature with the keyword added, for queues that check calls against it."""
    keyword = inspect.Parameter(KEYWORD, inspect.Parameter.KEYWORD_ONLY, default="", annotation=str)
    parameters = list(signature.parameters.values())
    at = next((i for i, each in enumerate(parameters) if each.kind is each.VAR_KEYWORD), len(parameters))
    return signature.replace(parameters=[*parameters[:at], keyword, *parameters[at:]])
