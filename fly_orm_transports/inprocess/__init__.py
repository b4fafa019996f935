"""Channels within one process, by name: for tests, and to try fly_orm without a network.

The same bytes pass as over a network, encoded and sealed by the core. The link between the two sides can be slowed down
and made to fail; see :class:`Link`.
"""

from .link import Link, link_to
from .transport import InProcessTransport

__all__ = ["InProcessTransport", "Link", "link_to"]
