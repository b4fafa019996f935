"""An application with a job queue. ``python -m tests.support.job_queue work`` runs jobs, ``write`` asks for them.

The environment says in which region each process runs, and which database it has there.
"""

from __future__ import annotations

import os
import sys

import peewee
from huey import SqliteHuey
from playhouse.db_url import connect

import fly_orm

huey = SqliteHuey(filename=os.environ["TEST_QUEUE"])
db = fly_orm.wrap(connect(os.environ["DATABASE_URL"]), replication_timeout=0.2)


class Post(peewee.Model):
    title = peewee.TextField()

    class Meta:
        database = db


@huey.task()
@fly_orm.carried
def titles(prefix: str) -> list[str]:
    with db.connection_context():
        return [post.title for post in Post.select().where(Post.title.startswith(prefix)).order_by(Post.id)]


def write() -> None:
    """Write each title that is heard, and say what a job makes of it with and without being told what was seen."""
    for line in sys.stdin:
        with fly_orm.session():
            Post.create(title=line.strip())
            jobs = [titles(""), titles("", **fly_orm.carry())]
        for job in jobs:
            print(",".join(job.get(blocking=True, timeout=20)), flush=True)


def work() -> None:
    """Run jobs until the end."""
    consumer = huey.create_consumer(workers=1, periodic=False, initial_delay=0.01, max_delay=0.05)
    print("ready", flush=True)
    consumer.run()


if __name__ == "__main__":
    {"write": write, "work": work}[sys.argv[1]]()
