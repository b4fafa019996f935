"""The same blog with Pony, on the same tables. Again, a single line is about regions: ``fly_orm.wrap``."""

from __future__ import annotations

import os
from typing import Any

from pony import orm

import fly_orm


def connect() -> Any:
    """The database, with the entities User and Post."""
    db = fly_orm.wrap(orm.Database())
    db.bind("postgres", os.environ["DATABASE_URL"])
    return define(db)


def define(db: Any) -> Any:
    """Define the entities on a database whose tables exist, and return it."""

    class User(db.Entity):
        name = orm.Required(str, unique=True)
        city = orm.Optional(str)
        posts = orm.Set("Post")

    class Post(db.Entity):
        author = orm.Required(User, column="author_id")
        title = orm.Required(str)

    db.generate_mapping()
    return db


@orm.db_session
def sign_up(db: Any, name: str, *titles: str) -> None:
    """Create a user and their first posts, in one transaction."""
    author = db.User(name=name)
    for title in titles:
        db.Post(author=author, title=title)


@orm.db_session
def titles_by(db: Any, name: str) -> list[str]:
    """The titles of a user's posts, oldest first."""
    posts = db.Post.select(lambda post: post.author.name == name)
    return [post.title for post in posts.order_by(lambda post: post.id)]
