"""What monitoring agents do to psycopg2: they let ``connect`` return a proxy, and note what is executed through it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg2
import psycopg2._json
import pytest
from psycopg2 import extensions as ext


class _Proxy:
    """Passes on what it is asked, and says that it is of the class of what it stands for, as ``wrapt.ObjectProxy``."""

    def __init__(self, wrapped: Any, seen: list[str]) -> None:
        vars_ = object.__getattribute__(self, "__dict__")
        vars_.update(__wrapped__=wrapped, seen=seen)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return self.__wrapped__.__class__

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__wrapped__, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.__wrapped__, name, value)

    def __enter__(self) -> Any:
        self.__wrapped__.__enter__()
        return self

    def __exit__(self, *error: Any) -> Any:
        return self.__wrapped__.__exit__(*error)

    def __iter__(self) -> Any:
        return iter(self.__wrapped__)


class CursorProxy(_Proxy):
    """The agent's cursor."""

    def execute(self, query: Any, *parameters: Any) -> Any:
        self.seen.append(query)
        return self.__wrapped__.execute(query, *parameters)


class ConnectionProxy(_Proxy):
    """The agent's connection."""

    def cursor(self, *args: Any, **options: Any) -> Any:
        return CursorProxy(self.__wrapped__.cursor(*args, **options), self.seen)


def install(patch: pytest.MonkeyPatch) -> list[str]:
    """Let psycopg2 be watched from now on. Returns the list of what applications execute."""
    seen: list[str] = []
    connect = psycopg2.connect
    patch.setattr(psycopg2, "connect", lambda *args, **options: ConnectionProxy(connect(*args, **options), seen))
    for module, name in ((ext, "register_type"), (psycopg2._json, "register_json")):  # they are written in C
        patch.setattr(module, name, _accepting(getattr(module, name)))
    return seen


def _accepting(function: Callable[..., Any]) -> Callable[..., Any]:
    def own(value: Any) -> Any:
        return value.__wrapped__ if issubclass(type(value), _Proxy) else value

    return lambda *args, **options: function(*map(own, args), **{name: own(options[name]) for name in options})
