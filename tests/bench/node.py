"""What the serving process of the benchmarks serves."""

import os

from playhouse.db_url import connect

import fly_orm

from .work import Row

db = fly_orm.wrap(connect(os.environ["DATABASE_URL"]))
Row.bind(db)
