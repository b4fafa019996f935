"""The routing classes that take the place of the cursor classes that applications use."""

from __future__ import annotations

import threading
from typing import Any

from .cursor import CursorClasses, RoutingCursor
from .mixing import mix
from .named import HeldCursor, NamedCursor, RemoteNamedCursor, WatchedCursor
from .remote_cursor import RemoteCursor

_classes_lock = threading.Lock()
_classes: dict[Any, CursorClasses] = {}


def cursor_classes(factory: Any, *, named: bool = False) -> CursorClasses:
    """The routing classes for a cursor class, whose own methods come first, or for named cursors of that class."""
    if issubclass(factory, RoutingCursor):
        factory = factory._classes.users
    known = _classes.get((factory, named))
    if known is not None:
        return known
    with _classes_lock:
        if (factory, named) not in _classes:
            _classes[factory, named] = _derive(factory, named=named)
        return _classes[factory, named]


def _derive(factory: Any, *, named: bool) -> CursorClasses:
    local = mix(factory, RoutingCursor)
    if named:
        classes = CursorClasses(
            users=factory,
            new=mix(factory, NamedCursor),
            local=local,
            remote=mix(factory, RemoteNamedCursor),
            held=mix(factory, HeldCursor),
            watched=mix(factory, WatchedCursor),
        )
    else:
        classes = CursorClasses(users=factory, new=local, local=local, remote=mix(factory, RemoteCursor))
    for cls in filter(None, classes[1:]):
        cls._classes = classes
    return classes
