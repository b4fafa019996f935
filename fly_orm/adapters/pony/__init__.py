"""The adapter of Pony. It wraps a ``Database``, whether it is bound to PostgreSQL already or will be."""

from .adapter import PonyAdapter

__all__ = ["PonyAdapter"]
