"""The application in Huey, with a queue in SQLite."""

from __future__ import annotations

import os

from huey import SqliteHuey

import fly_orm
from tests.support.queues import jobs

huey = SqliteHuey(filename=os.environ["TEST_QUEUE"])


@huey.task()
@fly_orm.carried
def publish(title: str) -> None:
    jobs.publish(title)


ask = publish
