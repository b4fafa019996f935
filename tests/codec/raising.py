"""Exceptions that were raised, and what arrives of them."""

from __future__ import annotations

from typing import Any

from fly_orm.codec import decode_error, encode_error


class Unregistered(Exception):
    pass


def raised(error: BaseException, cause: BaseException | None = None) -> Any:
    """The exception with a traceback."""
    try:
        if cause is not None:
            raise error from cause
        raise error
    except BaseException as caught:
        return caught


def caught(function: Any, *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except Exception as error:
        return error


def arrived(error: BaseException) -> Any:
    return decode_error(encode_error(error))
