"""Sets and dicts of hostile keys, which may all collide: the time that they take is bounded.

The hashes of numbers, and of tuples of them, are the same in each process, so that a peer can choose keys with one
hash. To add each then means to compare it with all those before. Nothing but the time tells such keys from others:
they need not have equal hashes to collide.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from ..deadline import thread_time
from .errors import CodecError

#: So few keys take no time worth mentioning, even if all of them collide.
_FEW = 128
_BATCH = 64
#: Seconds of the processor that adding keys may take per value that is decoded, and more for each key. Keys that do not
#: collide take less than a tenth.
_ALLOWED, _ALLOWED_PER_KEY = 0.1, 5e-6


class _Spent(threading.local):
    seconds = 0.0
    keys = 0


_spent = _Spent()


def begin() -> None:
    """Note that this thread begins to decode another value."""
    _spent.seconds, _spent.keys = 0.0, 0


def add_keys(keys: Sequence[Any], add: Callable[[Sequence[Any]], object]) -> None:
    """Add the keys to a set or dict by calls of ``add``. CodecError if that takes too long since they collide."""
    if len(keys) <= _FEW:
        add(keys)
        return
    for first in range(0, len(keys), _BATCH):
        batch = keys[first : first + _BATCH]
        before = thread_time()
        add(batch)
        _spent.seconds += thread_time() - before
        _spent.keys += len(batch)
        if _spent.seconds > _ALLOWED + _ALLOWED_PER_KEY * _spent.keys:
            raise CodecError(
                f"the keys of a dict or the items of a set collide: adding {_spent.keys} of them took "
                f"{_spent.seconds:.1f} s; pass a list of pairs, or a list, instead"
            )
