"""The routing classes that take the place of the cursor classes that applications use."""

from __future__ import annotations

import threading
from typing import Any

from .cursor import CursorClasses, RoutingCursor
from .mixing import mix
from .named import RemoteNamedCursor
from .remote_cursor import RemoteCursor

_classes_lock = threading.Lock()
_classes: dict[Any, CursorClasses] = {}


def cursor_classes(factory: Any) -> CursorClasses:
    """The routing classes for a cursor class, whose own methods come first."""
    known = _classes.get(factory)
    if known is not None:
        return known
    with _classes_lock:
        if factory not in _classes:
            _classes[factory] = _derive(factory)
        return _classes[factory]


def _derive(factory: Any) -> CursorClasses:
    classes = CursorClasses(*(mix(factory, routed) for routed in (RoutingCursor, RemoteCursor, RemoteNamedCursor)))
    for cls in classes:
        cls._classes = classes
    return classes
