"""Methods that a dialect calls. Mappers keep dialects for good, with what they have compiled for them."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any


def weak(method: Callable[..., Any]) -> Callable[..., Any]:
    """The same method, which does not keep its object alive."""
    reference: Any = weakref.WeakMethod(method)

    def called(*args: Any, **parameters: Any) -> Any:
        return reference()(*args, **parameters)

    return called
