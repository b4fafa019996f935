"""The interface of adapters, and everything that the author of one imports.

An adapter lets an ORM, or another library on top of psycopg2, open routing connections.
``docs/adapters.md`` builds one. These names, and those in :mod:`fly_orm.errors`, are stable: they change with a major
release, after one that warns. Other modules of fly_orm may change at any time.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import cache
from typing import Any, Protocol

from ..codec import CodecError, EncodedInstance, TypeHandler, add_type_handler, trust_exceptions_of
from ..codec.converters import check_fields
from ..codec.names import find_named, wire_name
from ..driver.connection import RoutingConnection
from ..driver.connector import Connector, unrouted
from ..parsing import suggestion
from ..postgres.connecting import parameters_in
from ..postgres.cursors import ping
from ..postgres.libpq import was_lost
from ..postgres.subclasses import named_like
from ..registry import make_adapter
from ..routing.options import Options
from ..routing.router import Router, routers
from ..routing.wrapped_database import WrappedDatabase
from .collections import CollectionHandler
from .invoked import function_activity, in_function
from .psycopg2.factory import ConnectionFactory
from .psycopg2.wrapped import WrappedAddress

__all__ = [
    "Adapter",
    "CodecError",
    "CollectionHandler",
    "ConnectionFactory",
    "Connector",
    "EncodedInstance",
    "Options",
    "Router",
    "RoutingConnection",
    "TypeHandler",
    "WrappedAddress",
    "WrappedDatabase",
    "check_fields",
    "find_named",
    "function_activity",
    "in_function",
    "load_adapter",
    "named_like",
    "parameters_in",
    "ping",
    "routers",
    "suggestion",
    "unrouted",
    "was_lost",
    "wire_name",
]


class Adapter(Protocol):
    """Wraps the database objects of one ORM, or of another library on top of psycopg2.

    Its distribution registers it in the entry-point group ``fly_orm.adapters``. The entry point's *name* is the
    top-level package that the library defines its database classes in, such as ``shop_orm``: objects of these classes
    and of their subclasses belong to this adapter. The entry point's *object* is a class, or a function, that returns
    the adapter. It is called without arguments when the first such object is wrapped, so that nobody imports a library
    that is not in use, and the adapter is kept for the life of the process.

    Derive from this class: what a later release adds to it then has a default. :func:`fly_orm.wrap` is called by one
    thread at a time; the other methods may be called by any.
    """

    @abstractmethod
    def wrap(self, database: Any, options: Options) -> Any:
        """The same object, whose connections are routed from now on. Wrapping an object twice is the same as once.

        ``options`` holds the arguments of :func:`fly_orm.wrap` and is passed on to the :class:`Router`. What to do
        depends on ``options.settings.topology``:

        - Where ``primary_region`` is None, there is one region only. The connections stay as they are, but the object
          gets a router, so that it can be served and keep a session's watermark.
        - Where ``is_primary`` is true, a database that cannot be routed is returned as it is.
        - Everywhere else, such a database is an error.

        If the library lets the application change the address of the object later, call :meth:`Router.forget_server`
        then, and go on routing its connections.

        Raises ConfigurationError for an object that is not a database, or that is in use (routing cannot begin inside a
        transaction), and NotSupported for a database that does not connect to PostgreSQL through psycopg2.
        """

    @abstractmethod
    def router_of(self, database: Any) -> Router | None:
        """The router of an object that has been wrapped; None if it has none."""

    def why_unrouted(self, database: Any) -> str:
        """Why an object has no router, as the message for a caller who wants to serve or to check it.

        By default, that it was not wrapped. Override it if :meth:`wrap` leaves some objects without a router, to say
        why. It is asked about any object of the library's that has none, also if it is not a database.
        """
        return f"this {type(database).__name__} is not wrapped: where it is made, call fly_orm.wrap() with it"

    def type_handlers(self) -> Sequence[TypeHandler]:
        """What encodes instances of the library's classes, such as models, as arguments and results of functions."""
        return ()

    def exception_packages(self) -> Sequence[str]:
        """Packages whose exception classes travel between nodes as themselves, by their names.

        An exception of such a class is made without calling its ``__init__``, in every process where the adapter is
        loaded and the class's module has been imported. Name only packages of the library: any node that holds the
        secret can make this process raise any of them.
        """
        return ()


@cache
def load_adapter(name: str) -> Adapter:
    """The adapter of that name, whose classes and exceptions travel between nodes from now on."""
    adapter: Adapter = make_adapter(name)
    for handler in adapter.type_handlers():
        add_type_handler(handler)
    for package in adapter.exception_packages():
        trust_exceptions_of(package)
    return adapter
