"""An application with class methods and static methods: imported anew by each test, served by nodes."""

import os

import peewee
from playhouse.db_url import connect

import fly_orm

db = fly_orm.wrap(connect(os.environ["SHELVES_URL"]))


class Tools:
    """What its subclasses have in common."""

    @fly_orm.on_primary
    @classmethod
    def where(cls):
        return cls.__name__, os.getpid()

    @classmethod
    @fly_orm.on_primary
    def where_below(cls):
        return cls.__name__, os.getpid()

    @fly_orm.remote
    @classmethod
    def visit(cls):
        return cls.__name__, os.getpid()

    @classmethod
    @fly_orm.remote
    def inspect(cls):
        return cls.__name__, os.getpid()

    @classmethod
    @fly_orm.on_primary
    def __hidden(cls):
        return cls.__name__, os.getpid()

    @classmethod
    def show(cls):
        return cls.__hidden()


class Shelf(Tools, peewee.Model):
    name = peewee.TextField(unique=True)

    class Meta:
        database = db

    @fly_orm.on_primary
    @classmethod
    def above(cls, name):
        return cls.create(name=name)

    @classmethod
    @fly_orm.on_primary
    def below(cls, name):
        return cls.create(name=name)

    @db.atomic()
    @fly_orm.on_primary(timeout=30)
    @classmethod
    def all_or_none(cls, *names):
        return [cls.create(name=name).name for name in names]

    @fly_orm.on_primary(exactly_once=db.database)
    @classmethod
    def above_once(cls, name):
        return cls.create(name=name)

    @classmethod
    @fly_orm.on_primary(exactly_once=db.database)
    def below_once(cls, name):
        return cls.create(name=name)

    @fly_orm.on_primary
    @staticmethod
    def static_above(name):
        return name, os.getpid()

    @staticmethod
    @fly_orm.on_primary
    def static_below(name):
        return name, os.getpid()


class Tall(Shelf):
    @classmethod
    @fly_orm.on_primary
    def above(cls, name):
        return super().above(f"tall {name}")
