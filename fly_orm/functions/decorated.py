"""What ``@on_primary`` makes of functions, methods, class methods and static methods."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import MethodType
from typing import TYPE_CHECKING, Any, Concatenate, Generic, NoReturn, ParamSpec, TypeVar, overload

from ..codec.names import signature_of
from ..errors import ConfigurationError
from ..runtime.runtime import current_runtime
from ..sessions.running import running_call
from .dispatching import CallOptions, call_here, dispatch
from .locating import is_next_to_primary
from .registering import Function, register

P = ParamSpec("P")
Q = ParamSpec("Q")
C = TypeVar("C")
R = TypeVar("R")
S = TypeVar("S")


class OnPrimary(Generic[P, R]):
    """A function whose calls run in the primary region; made by :func:`fly_orm.on_primary`. Thread-safe."""

    def __init__(self, code: Callable[P, R], function: Function, options: CallOptions) -> None:
        functools.update_wrapper(self, code)
        self.function = function
        self.code = code
        """The plain function."""
        self.options = options

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        runtime = current_runtime()
        here = is_next_to_primary(runtime)
        with running_call(self.function.name):
            result: R = (
                call_here(runtime, self.function, args, kwargs, self.options)
                if here
                else dispatch(runtime, None, self.function, args, kwargs, self.options)
            )
        return result

    @property
    def local(self) -> Callable[P, R]:
        """The plain function. Calling it runs it in this process, whatever the region.

        From Python 3.13 on, ``@classmethod`` above this decorator binds no attribute to the class that the method is
        called for. Calling ``local`` of such a class method raises ConfigurationError.
        """
        return self.code if self.function.owner() is None else self._unbound

    def _unbound(self, *args: P.args, **kwargs: P.kwargs) -> NoReturn:
        raise ConfigurationError(
            f"{self.function.name}.local does not know its class, since @classmethod is above @fly_orm.on_primary. "
            "Nothing has run. Write @fly_orm.on_primary above @classmethod"
        )

    def decorate_code(self, decorate: Callable[[Callable[P, R]], Callable[P, R]]) -> OnPrimary[P, R]:
        """The same function with a decorator around the code that runs, wherever that is.

        Blocks of an ORM that decorate such a function call it, as they cannot reach around a call to another node.
        """
        code = decorate(self.code)
        return OnPrimary(code, register(code, self.function.name, self.function.timeout), self.options)

    @overload
    def __get__(  # type: ignore[misc]  # class methods come here, too, and mypy asks for a self that fits all functions
        self: Callable[Concatenate[type[C], Q], S], instance: object, owner: type[C]
    ) -> BoundOnPrimary[Q, S]: ...
    @overload
    def __get__(self, instance: None, owner: type | None = None) -> OnPrimary[P, R]: ...
    @overload
    def __get__(
        self: Callable[Concatenate[C, Q], S], instance: C, owner: type | None = None
    ) -> BoundOnPrimary[Q, S]: ...
    @overload
    def __get__(self, instance: object, owner: type | None = None) -> OnPrimary[P, R]: ...
    def __get__(self, instance: object, owner: type | None = None) -> Any:
        """The bound method, as functions make it. It has ``local``, too."""
        return self if instance is None else BoundOnPrimary(self, instance)

    def __reduce__(self) -> str:
        """The name to pickle it by, as functions are."""
        return self.code.__qualname__

    def __repr__(self) -> str:
        return f"<on_primary {self.function.name}>"


class BoundOnPrimary(Generic[Q, R]):
    """A method whose calls run in the primary region, together with its instance or class. Thread-safe."""

    def __init__(self, method: OnPrimary[Any, R], instance: object) -> None:
        self.__func__ = method
        self.__self__ = instance

    def __call__(self, *args: Q.args, **kwargs: Q.kwargs) -> R:
        return self.__func__(self.__self__, *args, **kwargs)

    def local(self, *args: Q.args, **kwargs: Q.kwargs) -> R:
        """Run the method in this process, whatever the region."""
        return self.__func__.code(self.__self__, *args, **kwargs)

    @property
    def __signature__(self) -> inspect.Signature:
        """That of the method without its instance or class, for inspect."""
        return signature_of(MethodType(self.__func__.code, self.__self__))

    if not TYPE_CHECKING:  # or a type checker would accept every misspelt name

        def __getattr__(self, name: str) -> Any:
            """An attribute of the function, such as its ``__name__``, as other methods have it."""
            return getattr(self.__func__, name)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BoundOnPrimary):
            return NotImplemented
        return self.__func__ is other.__func__ and self.__self__ is other.__self__

    def __hash__(self) -> int:
        return hash((self.__func__, id(self.__self__)))

    def __reduce__(self) -> Any:
        """How to find it again in another process, as methods are pickled."""
        return getattr, (self.__self__, self.__func__.code.__name__)

    def __repr__(self) -> str:
        return f"<bound {self.__func__!r} of {self.__self__!r}>"


class _Wrapped:
    """What class methods and static methods that run in the primary region have in common."""

    __func__: Any
    """The :class:`OnPrimary`."""

    @property
    def function(self) -> Function:
        """The function that nodes call; see :class:`OnPrimary`."""
        function: Function = self.__func__.function
        return function

    def decorate_code(self, decorate: Callable[[Any], Any]) -> Any:
        """See :meth:`OnPrimary.decorate_code`."""
        kind: Any = type(self)
        return kind(self.__func__.decorate_code(decorate))


class ClassMethodOnPrimary(_Wrapped, classmethod, Generic[P, R]):  # type: ignore[type-arg]  # it takes none when it runs
    """A class method whose calls run in the primary region. ``@on_primary`` above ``@classmethod`` makes it."""

    def __get__(self, instance: object, owner: type | None = None) -> BoundOnPrimary[P, R]:
        """The method of a class. It has ``local``, too."""
        return BoundOnPrimary(self.__func__, type(instance) if owner is None else owner)


class StaticMethodOnPrimary(_Wrapped, staticmethod, Generic[P, R]):  # type: ignore[type-arg]  # as above
    """A static method whose calls run in the primary region. ``@on_primary`` above ``@staticmethod`` makes it."""

    def __get__(self, instance: object, owner: type | None = None) -> OnPrimary[P, R]:
        """The function itself."""
        function: OnPrimary[P, R] = self.__func__
        return function
