"""A web application for gunicorn, as one process of a secondary region or several. The environment says which one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs

import peewee
from playhouse.db_url import connect

import fly_orm

db = fly_orm.wrap(connect(os.environ["DATABASE_URL"]))


class Post(peewee.Model):
    title = peewee.TextField()

    class Meta:
        database = db


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Write one post, in autocommit or in a transaction, and say who did it, how often it is seen, and where."""
    query = parse_qs(environ["QUERY_STRING"])
    title, in_transaction = query["title"][0], "transaction" in query
    with fly_orm.session(), db.connection_context():
        if in_transaction:
            with db.atomic():
                Post.create(title=title)
        else:
            Post.create(title=title)
        stored = Post.select().where(Post.title == title).count()
        route = fly_orm.why().route.name  # type: ignore[union-attr]
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{os.getpid()} {stored} {route}".encode()]


if "USE_BEFORE_FORK" in os.environ:
    with db.connection_context():  # opens channels, and has the waiter connect, in the parent of all workers
        Post.create(title="before")
    db.close_all()  # peewee's own connections must not be shared with the workers
