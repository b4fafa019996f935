"""The application in Celery, whose broker is Redis."""

from __future__ import annotations

import os

from celery import Celery

import fly_orm
from tests.support.queues import jobs

app = Celery("shop", broker=f"redis+socket://{os.environ['TEST_QUEUE']}")


@app.task
@fly_orm.carried
def publish(title: str) -> None:
    jobs.publish(title)


ask = publish.delay
