"""What the serving process of the benchmarks serves."""

import os

from playhouse.db_url import connect

import fly_orm

db = fly_orm.wrap(connect(os.environ["DATABASE_URL"]))
