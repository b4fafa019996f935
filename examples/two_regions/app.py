"""A blog, as anybody would write it with peewee. One line makes it live in many regions: ``fly_orm.wrap``."""

from __future__ import annotations

import os
from collections.abc import Iterable

from peewee import ForeignKeyField, Model, TextField
from playhouse.db_url import connect

import fly_orm

db = fly_orm.wrap(connect(os.environ["DATABASE_URL"]))


class Base(Model):
    """What the models have in common."""

    class Meta:
        database = db


class User(Base):
    """Somebody who writes."""

    name = TextField(unique=True)
    city = TextField(default="")


class Post(Base):
    """What somebody wrote."""

    author = ForeignKeyField(User, backref="posts")
    title = TextField()


def sign_up(name: str) -> User:
    """A new user."""
    return User.create(name=name)


def find(name: str) -> User | None:
    """The user of that name."""
    return User.get_or_none(User.name == name)


def move(user: User, city: str) -> None:
    """Let the user live in another city."""
    user.city = city
    user.save()


def city_of(user: User) -> str | None:
    """Where the user lives."""
    return User.select(User.city).where(User.id == user.id).scalar()


def publish(author: User, title: str) -> Post:
    """A new post."""
    return Post.create(author=author, title=title)


def publish_all(author: User, titles: Iterable[str]) -> None:
    """All the posts, or none of them."""
    with db.atomic():
        for title in titles:
            publish(author, title)


def publish_each(author: User, titles: Iterable[str]) -> None:
    """One post after the other."""
    for title in titles:
        publish(author, title)


@fly_orm.on_primary
def publish_there(author: User, titles: list[str]) -> None:
    """The same, as one call of a function that runs in the primary region."""
    publish_each(author, titles)


def titles_by(author: User) -> list[str]:
    """What the user wrote, oldest first."""
    return [post.title for post in author.posts.order_by(Post.id)]


def front_page(length: int = 10) -> list[Post]:
    """The latest posts, with their authors."""
    return list(Post.select(Post, User).join(User).order_by(Post.id.desc()).limit(length))
