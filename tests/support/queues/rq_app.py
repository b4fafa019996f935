"""The application in RQ. ``python -m tests.support.queues.rq_app Worker`` runs jobs in a worker of that class."""

from __future__ import annotations

import os
import sys

import rq
from redis import Redis

import fly_orm
from tests.support.queues import jobs

queue = rq.Queue(connection=Redis(unix_socket_path=os.environ["TEST_QUEUE"]))


@fly_orm.carried
def publish(title: str) -> None:
    jobs.publish(title)


def ask(title: str, **carried: str) -> None:
    queue.enqueue(publish, title, **carried)


if __name__ == "__main__":
    getattr(rq, sys.argv[1])([queue], connection=queue.connection).work()
