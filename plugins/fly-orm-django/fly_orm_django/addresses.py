"""An entry of ``settings.DATABASES`` from a URL."""

from __future__ import annotations

from typing import Any

import fly_orm
from fly_orm.adapters.base import parameters_in

#: By the name of a parameter of libpq's, the key that Django has for it. All others are OPTIONS.
_KEYS = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}


def database(url: str | None = None, **options: Any) -> dict[str, Any]:
    """The entry of ``settings.DATABASES`` for a URL of PostgreSQL; by default for ``DATABASE_URL``, in this region.

    ``options`` are those under ``FLY_ORM``: the arguments of :func:`fly_orm.wrap`, and ``defer_transactions``. Other
    settings, such as ``CONN_MAX_AGE``, can be added to the dict: ``{**database(), "CONN_MAX_AGE": 60}``. Without a URL,
    it is the one that :func:`fly_orm.database_url` makes of ``DATABASE_URL``.

    Raises ConfigurationError if there is no URL, or it is not valid.
    """
    given = parameters_in(fly_orm.database_url() if url is None else url)
    keys = {_KEYS[name]: value for name, value in given.items() if name in _KEYS}
    others = {name: value for name, value in given.items() if name not in _KEYS}
    return {"ENGINE": "fly_orm_django", **keys, "OPTIONS": others, "FLY_ORM": options}
