"""The functions of this process that other nodes may call, by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar, overload

from ..codec.names import find_named, importable_name, signature_of
from ..errors import ConfigurationError

F = TypeVar("F", bound="Callable[..., Any] | classmethod[Any, Any, Any] | staticmethod[Any, Any]")


@dataclass(frozen=True, kw_only=True)
class Function:
    """A function that is registered, so that other nodes may call it."""

    name: str
    """What nodes call it; the same in every process of the application."""
    code: Callable[..., Any]
    """The plain function, undecorated."""
    signature: inspect.Signature = field(repr=False)
    timeout: float | None = None
    """Seconds that its calls may take, unless they say otherwise; None if it has no timeout of its own."""

    def owner(self) -> type | None:
        """The class in whose body it is a class method; None if it is not one, or the class has lost its name."""
        original = inspect.unwrap(self.code)
        place, _, name = original.__qualname__.rpartition(".")
        owner = find_named(f"{original.__module__}:{place}") if place else None
        if not isinstance(owner, type):
            return None
        private = name.startswith("__") and not name.endswith("__")
        attribute = f"_{owner.__name__.lstrip('_')}{name}" if private else name
        method = find_named(f"{original.__module__}:{place}.{attribute}")
        return owner if isinstance(method, classmethod) else None


_by_name: dict[str, Function] = {}
_by_code: dict[Callable[..., Any], Function] = {}


def register(code: Callable[..., Any], name: str | None = None, timeout: float | None = None) -> Function:
    """Let other nodes call a function, by ``name`` or else by ``module:qualified name``.

    ConfigurationError for what other nodes cannot call: a lambda, a closure, a coroutine or a generator. So is a second
    function with the same name, unless it is the same one defined again, as when its module is reloaded: then it
    replaces the first.
    """
    if not inspect.isfunction(code):
        raise ConfigurationError(
            f"only a function can be called from other nodes, not {code!r}; apply this decorator before any other"
        )
    problem = _problem(code)
    if problem is not None:
        raise ConfigurationError(f"{code.__qualname__} cannot be called from other nodes: {problem}")
    function = Function(name=name or _full_name(code), code=code, signature=signature_of(code), timeout=timeout)
    existing = _by_name.get(function.name)
    if existing is not None and _full_name(existing.code) != _full_name(code):
        raise ConfigurationError(
            f"{function.name!r} is the name of two functions, {_full_name(existing.code)} and {_full_name(code)}; give "
            "one of them another with name=…"
        )
    _by_name[function.name] = _by_code[code] = function
    return function


@overload
def remote(code: F, /) -> F: ...
@overload
def remote(*, name: str | None = None) -> Callable[[F], F]: ...
def remote(code: Any = None, /, *, name: str | None = None) -> Any:
    """Register a function, so that :func:`fly_orm.call` can run it on other nodes. Returns the function itself.

    Use it as a decorator, with or without arguments. Plain calls of the function run here, as before. ``name`` is what
    nodes call the function, by default its module and qualified name.

    On methods, class methods and static methods, it may be above or below ``@classmethod`` and ``@staticmethod``.

    ConfigurationError for a lambda, a closure, a coroutine or a generator, and for a name that is taken.
    """

    def decorate(code: F) -> F:
        register(code.__func__ if isinstance(code, classmethod | staticmethod) else code, name)
        return code

    return decorate if code is None else decorate(code)


def find(name: str) -> Function | None:
    """The function that is registered under this name, or None."""
    return _by_name.get(name)


def registered(code: Callable[..., Any]) -> Function:
    """The registration of a plain function. ConfigurationError if it has none."""
    function = _by_code.get(code) if inspect.isfunction(code) else None
    if function is None:
        name = getattr(code, "__qualname__", repr(code))
        raise ConfigurationError(f"{name} is not registered: decorate it with @fly_orm.remote or @fly_orm.on_primary")
    return function


def longest_timeout() -> float:
    """The longest timeout of a registered function (seconds); 0 if none has one."""
    return max((each.timeout or 0.0 for each in _by_name.values()), default=0.0)


def names() -> list[str]:
    """The names of all registered functions, sorted."""
    return sorted(_by_name)


def _problem(code: Callable[..., Any]) -> str | None:
    if code.__name__ == "<lambda>":
        return "a lambda has no name; use def"
    if "<locals>" in inspect.unwrap(code).__qualname__:
        return "it is defined inside another function, where other nodes cannot find it; move it to its module"
    if inspect.iscoroutinefunction(code) or inspect.isasyncgenfunction(code):
        return "it is a coroutine; make it an ordinary function, and call that from a thread"
    if inspect.isgeneratorfunction(code):
        return "it is a generator, and each of its values would need a round trip; return a list"
    return None


def _full_name(code: Callable[..., Any]) -> str:
    original = inspect.unwrap(code)  # Pony's db_session gives what it wraps no qualified name
    return f"{importable_name(original.__module__)}:{original.__qualname__}"
