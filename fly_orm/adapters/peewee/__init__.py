"""The adapter of peewee. It wraps a ``PostgresqlDatabase``, a subclass of it, or a ``Proxy`` for one."""

from .adapter import PeeweeAdapter

__all__ = ["PeeweeAdapter"]
