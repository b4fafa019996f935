"""The functions of this process that other nodes may call, by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar, overload

from ..codec.names import importable_name
from ..errors import ConfigurationError

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, kw_only=True)
class Function:
    """A function that other nodes may call."""

    name: str
    code: Callable[..., Any]
    signature: inspect.Signature = field(repr=False)


_by_name: dict[str, Function] = {}
_by_code: dict[Callable[..., Any], Function] = {}


def register(code: Callable[..., Any], name: str | None = None) -> Function:
    """Let other nodes call a function, by ``module:qualified name`` if no name is given.

    ConfigurationError for what they could not call: a lambda, a closure, a coroutine, a generator, or a second function
    of the same name. A function that is defined again, as when its module is reloaded, takes the place of the first.
    """
    if not inspect.isfunction(code):
        raise ConfigurationError(f"only a function can be called from other nodes, not {code!r}; decorate it first")
    problem = _problem(code)
    if problem is not None:
        raise ConfigurationError(f"{code.__qualname__} cannot be called from other nodes: {problem}")
    function = Function(name=name or _name(code), code=code, signature=inspect.signature(code))
    known = _by_name.get(function.name)
    if known is not None and _name(known.code) != _name(code):
        raise ConfigurationError(
            f"{function.name!r} is the name of two functions, {_name(known.code)} and {_name(code)}; give one another"
        )
    _by_name[function.name] = _by_code[code] = function
    return function


@overload
def remote(code: F, /) -> F: ...
@overload
def remote(*, name: str | None = None) -> Callable[[F], F]: ...
def remote(code: Any = None, /, *, name: str | None = None) -> Any:
    """The function itself, which other nodes may call from now on, by :func:`fly_orm.call`.

    A decorator, bare or with ``name``, the name that the nodes call it by: by default its module and qualified name.
    Calling the function runs it here, as ever. ConfigurationError for a lambda, a closure, a coroutine or a generator.
    """

    def decorate(code: F) -> F:
        register(code, name)
        return code

    return decorate if code is None else decorate(code)


def find(name: str) -> Function | None:
    """The function of that name; None if none is registered."""
    return _by_name.get(name)


def registered(code: Callable[..., Any]) -> Function:
    """The registration of a function; ConfigurationError if there is none."""
    function = _by_code.get(code) if inspect.isfunction(code) else None
    if function is None:
        called = getattr(code, "__qualname__", repr(code))
        raise ConfigurationError(f"{called} is not registered: decorate it with @fly_orm.remote or @fly_orm.on_primary")
    return function


def names() -> list[str]:
    """The names of all, sorted."""
    return sorted(_by_name)


def _problem(code: Callable[..., Any]) -> str | None:
    if code.__name__ == "<lambda>":
        return "a lambda has no name; use def"
    if "<locals>" in code.__qualname__:
        return "it is defined inside another function, so the other node could not find it; move it to its module"
    if inspect.iscoroutinefunction(code) or inspect.isasyncgenfunction(code):
        return "it is a coroutine; make it an ordinary function, and call that from a thread"
    if inspect.isgeneratorfunction(code):
        return "it is a generator, whose values would each need the way back; return a list"
    return None


def _name(code: Callable[..., Any]) -> str:
    return f"{importable_name(code.__module__)}:{code.__qualname__}"
