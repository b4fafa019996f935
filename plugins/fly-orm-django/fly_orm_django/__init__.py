"""Django in many regions: ``ENGINE = "fly_orm_django"`` reads on the local replica and writes on the primary."""

from .addresses import database

__all__ = ["database"]
