"""What a node serves for tests that give it no application: the database of ``DATABASE_URL``."""

import os

from playhouse.db_url import connect

import fly_orm

db = fly_orm.wrap(connect(os.environ["DATABASE_URL"]))
