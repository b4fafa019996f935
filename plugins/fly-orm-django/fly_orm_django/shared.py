"""What all threads share of a database: each of them has a ``DatabaseWrapper`` of its own."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ImproperlyConfigured

import fly_orm
from fly_orm.adapters.base import Connector, Router
from fly_orm.parsing import suggestion

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


_lock = threading.Lock()
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
    """Let the wrappers that have the settings of this one have a router."""
    defers = bool(_given(wrapper).get(_DEFER, False))
    connector = Connector(router, defers_transactions=defers)
    _known[_key(wrapper)] = Shared(router=router, connector=connector, defers_transactions=defers)


def forget() -> None:
    """Close the routers. They are made anew when they are needed. For tests."""
    with _lock:
        for shared in _known.values():
            shared.router.close()
        _known.clear()


def _key(wrapper: Any) -> Hashable:
    return type(wrapper), *(repr(wrapper.settings_dict.get(name)) for name in _SETTINGS)


def _given(wrapper: Any) -> Mapping[str, Any]:
    given: Mapping[str, Any] = wrapper.settings_dict.get("FLY_ORM") or {}
    return given


def _options(wrapper: Any) -> dict[str, Any]:
    """The arguments of :func:`fly_orm.wrap`."""
    given = dict(_given(wrapper))
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
