"""psycopg2 without an ORM, in many regions: wrap an :class:`ExampleFactory` with ``fly_orm.wrap()``."""

from .factory import ExampleFactory

__all__ = ["ExampleFactory"]
