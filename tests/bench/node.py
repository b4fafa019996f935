"""What the serving process of the benchmarks serves."""

import os

from playhouse.db_url import connect
from psycopg2.extensions import parse_dsn

import fly_orm

from .work import Row
from .writes import composed

db = fly_orm.wrap(connect(os.environ["DATABASE_URL"]))
Row.bind(db)
composed.bind(parse_dsn(os.environ["DATABASE_URL"]))
