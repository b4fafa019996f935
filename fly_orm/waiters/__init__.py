"""Waits until the local replica has replayed an LSN. Imports only postgres, concurrency, interfaces and values.

The waiters differ in their strategy: what they ask the replica, and how often.
"""

from .automatic import AutomaticWaiter
from .native import NativeWaiter
from .polling import PollingWaiter

__all__ = ["AutomaticWaiter", "NativeWaiter", "PollingWaiter"]
