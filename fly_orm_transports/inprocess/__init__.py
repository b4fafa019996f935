"""Channels between the parts of one process, by name: for tests, and to try everything out without a network.

What travels is what would travel over a network: the same bytes, sealed and encoded by the core. What lies between
can be slow and fail, see :class:`Link`.
"""

from .link import Link, link_to
from .transport import InProcessTransport

__all__ = ["InProcessTransport", "Link", "link_to"]
