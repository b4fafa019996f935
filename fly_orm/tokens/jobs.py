"""What a session has seen, in the message of a job queue."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from ..errors import ConfigurationError, InvalidToken
from ..sessions.blocks import session
from .token import resume, token

F = TypeVar("F", bound=Callable[..., Any])

log = logging.getLogger("fly_orm")

#: The argument that carries the token.
KEYWORD = "fly_orm_token"


def carry() -> dict[str, str]:
    """Keyword arguments for a job whose function is :func:`carried`: they tell it what this session has seen.

    Any queue takes them that takes keyword arguments of text: ``send_welcome(user.id, **fly_orm.carry())``. Call it
    after the commit. Raises what :func:`fly_orm.token` raises.
    """
    return {KEYWORD: token()}


def carried(function: F) -> F:
    """The function, run in a session of its own that has seen what the session had seen that asked for it.

    To be applied before the queue's own decorator (below it). Called without what :func:`carry` returns, it runs in a
    session that has seen nothing; so it does with a token that is too old, which is a warning. InvalidToken for any
    other token that is not valid, and ConfigurationError for a generator.
    """
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise ConfigurationError(f"{_name(function)} is a generator, which runs when its parts are taken, not as a job")
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

    wrapper.__signature__ = _with_token(inspect.signature(function))  # type: ignore[attr-defined]  # it has none yet
    return wrapper  # type: ignore[return-value]  # but for the keyword it takes what the function takes


@contextmanager
def _resumed(function: Callable[..., Any], text: str) -> Iterator[None]:
    with session():
        try:
            resume(text)
        except InvalidToken as error:
            if error.reason != "expired":
                raise
            log.warning("%s runs in a session that has seen nothing: %s", _name(function), error)
        yield


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__qualname__", repr(function))


def _with_token(signature: inspect.Signature) -> inspect.Signature:
    """The signature with the keyword, for queues that check calls against it."""
    keyword = inspect.Parameter(KEYWORD, inspect.Parameter.KEYWORD_ONLY, default="", annotation=str)
    parameters = list(signature.parameters.values())
    at = next((i for i, each in enumerate(parameters) if each.kind is each.VAR_KEYWORD), len(parameters))
    return signature.replace(parameters=[*parameters[:at], keyword, *parameters[at:]])
