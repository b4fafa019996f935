"""The application whose nodes the tests start."""

import os

from playhouse.db_url import connect

import fly_orm

db = fly_orm.wrap(connect(os.environ["APP_URL"]))
