"""The waiters for the local replica: they differ in what they ask it, which the server's version may decide."""

from .automatic import AutomaticWaiter
from .native import NativeWaiter
from .polling import PollingWaiter

__all__ = ["AutomaticWaiter", "NativeWaiter", "PollingWaiter"]
