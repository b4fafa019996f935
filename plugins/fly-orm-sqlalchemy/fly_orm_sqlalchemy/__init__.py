"""SQLAlchemy in many regions: ``fly_orm.wrap(engine)``, or ``create_engine(url, plugins=["fly_orm"])``."""

from .adapter import SQLAlchemyAdapter
from .plugin import FlyOrmPlugin
from .sessions import loading_into

__all__ = ["FlyOrmPlugin", "SQLAlchemyAdapter", "loading_into"]
