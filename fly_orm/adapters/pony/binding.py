"""Routes a Pony database as soon as it is bound, and whenever it is bound anew."""

from __future__ import annotations

from typing import Any

from pony.orm.dbproviders.postgres import PGProvider

from ...errors import NotSupported
from ..base import Router
from .provider import explain_bound, obstacle, routed_provider


def route_when_bound(database: Any, router: Router) -> None:
    """Replace ``Database._bind``, in which every form of ``bind()`` ends, by one that uses the routed provider."""
    original = database._bind
    wrapped: Any = router.wrapped

    def bind(*args: Any, **kwargs: Any) -> None:
        name, given, parameters = _split(args, kwargs)
        provider = PGProvider if name == "postgres" else name
        if not isinstance(provider, type) or obstacle(provider) is not None:
            _require_primary_region(name, router)
            original(*args, **kwargs)
            return
        known = database.provider_name
        if name == "postgres":
            database.provider_name = name  # as Pony does when it is bound by name
        try:
            original(routed_provider(router), *given, **parameters)
        except BaseException:
            database.provider_name = known
            raise
        finally:
            wrapped.pool = None  # from now on, it is the provider's

    database._bind = bind


def explain_when_bound(database: Any) -> None:
    """As :func:`explain_bound`, as soon as the database is bound."""
    original = database._bind

    def bind(*args: Any, **kwargs: Any) -> None:
        original(*args, **kwargs)
        explain_bound(database.provider)

    database._bind = bind


def _split(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    """The provider among the arguments of ``bind()``, in any of its forms, and the other arguments."""
    if len(args) == 1 and not kwargs and hasattr(args[0], "keys"):
        return _split((), dict(args[0]))
    if args:
        return args[0], args[1:], kwargs
    return kwargs.get("provider"), (), {name: value for name, value in kwargs.items() if name != "provider"}


def _require_primary_region(provider: Any, router: Router) -> None:
    """Leave a database of another kind alone in the primary region, and raise NotSupported in any other."""
    topology = router.settings.topology
    if provider is None or topology.is_primary:
        return
    raise NotSupported(
        f"a Pony database that is bound to {provider!r} cannot be routed from region {topology.region!r}: "
        "only 'postgres' can"
    )
