"""What a job does, whichever queue runs it.

The environment says in which region a process runs, and which database it has there. With USE_BEFORE_FORK, the process
that imports this uses the database itself first, as an application may that is loaded before its workers are forked.
"""

from __future__ import annotations

import os
import threading

import peewee
from playhouse.db_url import connect

import fly_orm

db = fly_orm.wrap(connect(os.environ["DATABASE_URL"]), replication_timeout=0.2)


class Post(peewee.Model):
    title = peewee.TextField()

    class Meta:
        database = db


class Ran(peewee.Model):
    """A job that has run, and where."""

    title = peewee.TextField()
    saw_post = peewee.BooleanField()
    pid = peewee.IntegerField()
    thread = peewee.BigIntegerField()
    main_pid = peewee.IntegerField()

    class Meta:
        database = db


def publish(title: str) -> None:
    """Read what the request wrote that asked for this job, and note in a transaction that it ran."""
    with db.connection_context():
        saw_post = Post.select().where(Post.title == title).exists()
        with db.atomic():
            Ran.create(title=title, saw_post=saw_post, pid=os.getpid(), thread=threading.get_ident(), main_pid=main_pid)


main_pid = os.getpid()
if os.environ.get("USE_BEFORE_FORK"):
    with db.connection_context():
        Post.create(title="before the fork")
