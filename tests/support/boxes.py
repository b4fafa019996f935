"""A Pony application whose entities have class methods: imported anew by each test, served by nodes."""

import os

from pony import orm

import fly_orm

db = fly_orm.wrap(orm.Database())


class Box(db.Entity):
    name = orm.Required(str)

    @fly_orm.on_primary
    @classmethod
    @orm.db_session
    def pack(cls, name):
        return cls.__name__, cls(name=name).name


class BigBox(Box):
    pass


db.bind("postgres", os.environ["BOXES_URL"])
db.generate_mapping()
