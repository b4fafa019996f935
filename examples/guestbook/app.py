"""A guest book: an ordinary Flask and peewee application. The lines with fly_orm make it run in several regions."""

from __future__ import annotations

import os
from datetime import datetime, timezone
from typing import Any

from flask import Flask, abort, flash, redirect, render_template, request, session
from peewee import (
    CharField,
    DateTimeField,
    ForeignKeyField,
    IntegrityError,
    Model,
    OperationalError,
    TextField,
    prefetch,
)
from playhouse.db_url import connect

import fly_orm
from fly_orm.web import WSGIMiddleware

POSTS_PER_PAGE = 20

db = fly_orm.wrap(connect(os.environ["DATABASE_URL"]))
app = Flask(__name__)
app.config.update(SECRET_KEY=os.environ["SECRET_KEY"], SESSION_COOKIE_SAMESITE="Lax")
app.wsgi_app = WSGIMiddleware(app.wsgi_app, timing="SHOW_TIMING" in os.environ)  # type: ignore[method-assign]


def now() -> datetime:
    """The time, which is the same in every region."""
    return datetime.now(timezone.utc)


class Table(Model):
    """What all models share: the wrapped database."""

    class Meta:
        database = db


class Guest(Table):
    """Somebody who has signed the book."""

    name = CharField(40, unique=True)


class Post(Table):
    """What a guest has written."""

    author = ForeignKeyField(Guest, backref="posts")
    text = TextField()
    region = CharField(default=fly_orm.my_region)
    written = DateTimeField(default=now)


class Comment(Table):
    """What a guest has written below a post."""

    post = ForeignKeyField(Post, backref="comments", on_delete="CASCADE")
    author = ForeignKeyField(Guest, backref="comments")
    text = TextField()
    region = CharField(default=fly_orm.my_region)
    written = DateTimeField(default=now)


@fly_orm.on_primary
def remove(post: int, guest: int) -> None:
    """Remove a guest's own post and its comments, next to the primary: one round trip for both statements."""
    with db.atomic():
        own = Post.select(Post.id).where(Post.id == post, Post.author == guest)
        Comment.delete().where(Comment.post.in_(own)).execute()
        Post.delete().where(Post.id.in_(own)).execute()


@app.before_request
def open_connection() -> None:
    """Take a connection from the pool; static files need none."""
    if not (request.endpoint or "").endswith("static"):
        db.connect(reuse_if_open=True)


@app.teardown_appcontext
def close_connection(_error: BaseException | None) -> None:
    """Give it back."""
    if not db.is_closed():
        db.close()


@app.get("/")
def book() -> str:
    """The newest posts with their comments, or those before a given one."""
    before = request.args.get("before", type=int)
    posts = Post.select(Post, Guest).join(Guest).order_by(Post.id.desc()).limit(POSTS_PER_PAGE)
    if before is not None:
        posts = posts.where(Post.id < before)
    comments = Comment.select(Comment, Guest).join(Guest).order_by(Comment.id)
    found = prefetch(posts, comments)
    return render_template("book.html", posts=found, more=len(found) == POSTS_PER_PAGE, guest=session.get("guest"))


@app.post("/sign-up")
def sign_up() -> Any:
    """Become a guest, under a name that nobody else has."""
    name = given("name")
    try:
        guest = Guest.create(name=name)
    except IntegrityError:
        flash(f"Somebody has signed as {name} already. Choose another name.")
    else:
        session["guest"] = {"id": guest.id, "name": guest.name}
    return redirect("/")


@app.post("/sign-out")
def sign_out() -> Any:
    """Forget who the guest is."""
    session.pop("guest", None)
    return redirect("/")


@app.post("/posts")
def write_post() -> Any:
    """Write a post."""
    Post.create(author=signed_in(), text=given("text"))
    return redirect("/")


@app.post("/posts/<int:post>/comments")
def write_comment(post: int) -> Any:
    """Write a comment on a post."""
    try:
        Comment.create(post=post, author=signed_in(), text=given("text"))
    except IntegrityError:
        flash("That post has been removed.")
    return redirect(f"/#post-{post}")


@app.post("/posts/<int:post>/remove")
def remove_post(post: int) -> Any:
    """Remove one's own post."""
    remove(post, signed_in())
    return redirect("/")


def given(field: str) -> str:
    """A text that the form must have."""
    return request.form.get(field, "").strip() or abort(400, f"The form lacks a {field}.")


def signed_in() -> int:
    """The id of the guest."""
    return int(session["guest"]["id"]) if "guest" in session else abort(403, "Sign the book first.")


@app.errorhandler(OperationalError)
@app.errorhandler(fly_orm.FlyOrmError)
def unavailable(error: Exception) -> tuple[str, int]:
    """Say what became of a write when the primary, or the local server, could not be reached."""
    return render_template("problem.html", unknown=isinstance(error, fly_orm.OutcomeUnknown)), 503


@app.get("/healthz")
def healthz() -> tuple[dict[str, Any], int]:
    """Whether a load balancer should send requests here."""
    health = fly_orm.check(db)
    return {"status": health.status}, 200 if health.ready else 503


@app.cli.command("migrate")
def migrate() -> None:
    """Create the tables. Run this in the primary region, once."""
    db.create_tables([Guest, Post, Comment])
