"""What all threads share of a database: each of them has a ``DatabaseWrapper`` of its own."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import connections

import fly_orm
from fly_orm.adapters.base import ConnectionFactory, Connector, Router, suggestion

#: What decides which database is meant, and how it is routed. A password may change while the process runs.
_SETTINGS = ("NAME", "USER", "HOST", "PORT", "OPTIONS", "FLY_ORM")
_DEFER = "defer_transactions"
_OPTIONS = frozenset({*inspect.signature(fly_orm.wrap).parameters, _DEFER}) - {"database", "settings"}


@dataclass(frozen=True, kw_only=True)
class Shared:
    """The router of a database, and what opens its connections."""

    router: Router
    connector: Connector
    defers_transactions: bool
    alias: str | None
    """The alias that leads to the database; None if it was made for somebody else."""

    def retire(self) -> None:
        """Close what the router has open. Functions no longer belong to its database."""
        wrapped: Any = self.router.wrapped
        wrapped.retired = True
        self.router.close()


_lock = threading.RLock()
_known: dict[Hashable, Shared] = {}


def shared_by(wrapper: Any) -> Shared:
    """What a ``DatabaseWrapper`` shares with the others that have the same settings. Any thread may call.

    ImproperlyConfigured if the options under ``FLY_ORM`` in ``settings.DATABASES`` are wrong.
    """
    key = _key(wrapper)
    if (known := _known.get(key)) is not None:
        return known
    with _lock:
        if key not in _known:
            fly_orm.wrap(wrapper, **_options(wrapper))
        return _known[key]


def known_to(wrapper: Any) -> Shared | None:
    """The same if there is one already."""
    return _known.get(_key(wrapper))


def share(wrapper: Any, router: Router) -> None:
    """Let the wrappers that have the settings of this one have a router.

    If its alias has led to another database, as it does before a test runner makes one, that is retired.
    """
    alias = wrapper.alias if wrapper.alias in connections and connections[wrapper.alias] is wrapper else None
    defers = bool(_given(wrapper).get(_DEFER, False))
    connector = Connector(router, defers_transactions=defers)
    shared = Shared(router=router, connector=connector, defers_transactions=defers, alias=alias)
    with _lock:
        if alias is not None:
            _retire(key for key, each in _known.items() if each.alias == alias)
        _known[_key(wrapper)] = shared


def retire(wrapper: Any) -> None:
    """Retire what a wrapper has shared that nobody else has."""
    with _lock:
        _retire(key for key in _known if key == _key(wrapper))


def retire_all() -> None:
    """Retire everything. It is made anew when it is needed. For tests."""
    with _lock:
        _retire(_known)


def _retire(keys: Iterable[Hashable]) -> None:
    for key in list(keys):
        _known.pop(key).retire()


def _key(wrapper: Any) -> Hashable:
    return type(wrapper), *(repr(wrapper.settings_dict.get(name)) for name in _SETTINGS)


def _given(wrapper: Any) -> Mapping[str, Any]:
    given: Mapping[str, Any] = wrapper.settings_dict.get("FLY_ORM") or {}
    return given


def _options(wrapper: Any) -> dict[str, Any]:
    """The arguments of :func:`fly_orm.wrap`."""
    given = dict(_given(wrapper))
    if isinstance(wrapper.settings_dict["OPTIONS"].get("connection_factory"), ConnectionFactory):
        raise ImproperlyConfigured(
            f"settings.DATABASES[{wrapper.alias!r}] has the ENGINE 'fly_orm_django' and a connection_factory of "
            "fly_orm; remove the latter, and give its arguments under FLY_ORM"
        )
    for name in given:
        if name not in _OPTIONS:
            raise ImproperlyConfigured(
                f"settings.DATABASES[{wrapper.alias!r}]['FLY_ORM'] has no option {name!r}{suggestion(name, _OPTIONS)}; "
                f"there are {', '.join(sorted(_OPTIONS))}"
            )
    given.pop(_DEFER, None)
    if wrapper.settings_dict["NAME"] is None:
        given.pop("name", None)  # this is the database "postgres", in which others are created
    return given
