"""What a function has left in the Postgres session of a connection, which the next function is to use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fly_orm.adapters.base import Router, function_activity


@contextmanager
def as_new(router: Router) -> Iterator[None]:
    """A block that makes the session settings of a new connection. A function does not leave these."""
    activity = function_activity(router)
    left = activity is not None and activity.leaves_state
    yield
    if activity is not None:
        activity.leaves_state = left


def is_changed(router: Router, wrapper: Any) -> bool:
    """Whether the connection of a wrapper is no longer as a new one is."""
    activity = function_activity(router)
    return _has_other_modes(wrapper) or (activity is not None and activity.leaves_state)


def _has_other_modes(wrapper: Any) -> bool:
    connection, given = wrapper.connection, wrapper.settings_dict
    isolation_level = wrapper.isolation_level if "isolation_level" in given["OPTIONS"] else None
    modes = connection.autocommit, connection.readonly, connection.deferrable, connection.isolation_level
    return modes != (given["AUTOCOMMIT"], None, None, isolation_level)
