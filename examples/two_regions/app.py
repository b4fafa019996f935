"""An ordinary peewee blog. One line makes it run in several regions: ``fly_orm.wrap``."""

from __future__ import annotations

import os
from collections.abc import Iterable

from peewee import ForeignKeyField, Model, TextField
from playhouse.db_url import connect

import fly_orm

db = fly_orm.wrap(connect(os.environ["DATABASE_URL"]))


class Base(Model):
    """Base of the models."""

    class Meta:
        database = db


class User(Base):
    """An author."""

    name = TextField(unique=True)
    city = TextField(default="")


class Post(Base):
    """A post of an author."""

    author = ForeignKeyField(User, backref="posts")
    title = TextField()


def sign_up(name: str) -> User:
    """A new user."""
    return User.create(name=name)


def find(name: str) -> User | None:
    """The user with that name, or None."""
    return User.get_or_none(User.name == name)


def move(user: User, city: str) -> None:
    """Change the city of a user."""
    user.city = city
    user.save()


def city_of(user: User) -> str | None:
    """The city of a user."""
    return User.select(User.city).where(User.id == user.id).scalar()


def publish(author: User, title: str) -> Post:
    """A new post."""
    return Post.create(author=author, title=title)


def publish_all(author: User, titles: Iterable[str]) -> None:
    """Publish all the posts in one transaction."""
    with db.atomic():
        for title in titles:
            publish(author, title)


def publish_each(author: User, titles: Iterable[str]) -> None:
    """Publish the posts one by one."""
    for title in titles:
        publish(author, title)


@fly_orm.on_primary
def publish_there(author: User, titles: list[str]) -> None:
    """Publish the posts one by one, in a function that runs in the primary region."""
    publish_each(author, titles)


def titles_by(author: User) -> list[str]:
    """The titles of a user's posts, oldest first."""
    return [post.title for post in author.posts.order_by(Post.id)]


def front_page(length: int = 10) -> list[Post]:
    """The latest posts, with their authors."""
    return list(Post.select(Post, User).join(User).order_by(Post.id.desc()).limit(length))
