"""psycopg2 without an ORM, in many regions: wrap a :class:`ConnectionFactory` with ``fly_orm.wrap()``."""

from .factory import ConnectionFactory

__all__ = ["ConnectionFactory"]
