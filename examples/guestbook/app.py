"""A guest book: an ordinary Flask and peewee application. The lines with fly_orm make it run in several regions."""

from __future__ import annotations

import os
from datetime import datetime, timezone
from typing import Any

from flask import Flask, abort, flash, redirect, render_template, request, session
from peewee import CharField, DateTimeField, ForeignKeyField, IntegrityError, Model, OperationalError, TextField
from playhouse.db_url import connect
from werkzeug.exceptions import HTTPException

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

    name = CharField(40, primary_key=True)  # and no number: after a failover, it may be given to somebody else


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
def remove(post: int, guest: str) -> None:
    """Remove a guest's own post and its comments, next to the primary: one round trip for both statements."""
    with db.atomic():
        own = Post.select(Post.id).where(Post.id == post, Post.author == guest)
        Comment.delete().where(Comment.post.in_(own)).execute()
        Post.delete().where(Post.id.in_(own)).execute()


@app.teardown_appcontext
def close_connection(_error: BaseException | None) -> None:
    """Give the connection back to the pool, from which peewee has taken it for the first statement."""
    if not db.is_closed():
        db.close()


@app.get("/")
def book() -> str:
    """The newest posts with their comments, or those before a given one."""
    before = request.args.get("before", type=int)
    posts = Post.select().order_by(Post.id.desc()).limit(POSTS_PER_PAGE)
    if before is not None:
        posts = posts.where(Post.id < before)
    found = posts.prefetch(Comment.select().order_by(Comment.id))
    return render_template("book.html", posts=found, more=len(found) == POSTS_PER_PAGE, guest=session.get("guest"))


@app.post("/sign-up")
def sign_up() -> Any:
    """Become a guest, under a name that nobody else has."""
    name = given("name", 40)
    try:
        Guest.create(name=name)
    except IntegrityError:
        flash(f"Somebody has signed as {name} already. Choose another name.")
    else:
        session["guest"] = name
    return redirect("/")


@app.post("/sign-out")
def sign_out() -> Any:
    """Forget who the guest is."""
    session.pop("guest", None)
    return redirect("/")


@app.post("/posts")
def write_post() -> Any:
    """Write a post."""
    Post.create(author=signed_in(), text=given("text", 2000))
    return redirect("/")


@app.post("/posts/<int(max=2147483647):post>/comments")  # the largest number that a post can have
def write_comment(post: int) -> Any:
    """Write a comment on a post."""
    Comment.create(post=post, author=signed_in(), text=given("text", 500))
    return redirect(f"/#post-{post}")


@app.post("/posts/<int:post>/remove")
def remove_post(post: int) -> Any:
    """Remove one's own post."""
    remove(post, signed_in())
    return redirect("/")


def given(field: str, longest: int) -> str:
    """A text that the form must have. Like browsers, it counts the end of a line as one character."""
    text = request.form.get(field, "").replace("\r\n", "\n").strip()
    if "\0" in text or not 0 < len(text) <= longest:
        abort(400, f"The {field} must have 1 to {longest} characters, and no NUL.")
    return text


def signed_in() -> str:
    """The name of the guest."""
    return session.get("guest") or abort(403, "Sign the book first.")


@app.errorhandler(IntegrityError)
def lost(error: Exception) -> Any:
    """Say that the post is not there to be commented on, or that its author's name has been lost in a promotion."""
    if "author_id" in str(error):
        del session["guest"]
        flash("Your name is not in the book any more. Sign it again.")
    else:
        flash("That post has been removed.")
    return redirect("/")


@app.errorhandler(HTTPException)
def refused(error: HTTPException) -> Any:
    """Show an error as a page of the book."""
    return render_template("problem.html", error=error), error.code, error.get_headers()


@app.errorhandler(OperationalError)
@app.errorhandler(fly_orm.FlyOrmError)
def unavailable(error: Exception) -> tuple[str, int]:
    """Say what became of a write when the primary, or the local server, could not be reached."""
    nothing = isinstance(error, (fly_orm.NotDelivered, fly_orm.Refused, fly_orm.TransactionLost))
    return render_template("problem.html", unknown=request.method == "POST" and not nothing), 503


@app.get("/healthz")
def healthz() -> tuple[dict[str, Any], int]:
    """Whether a load balancer should send requests here."""
    health = fly_orm.check(db)
    return {"status": health.status}, 200 if health.ready else 503


@app.cli.command("migrate")
def migrate() -> None:
    """Create the tables. Run this in the primary region, once."""
    db.create_tables([Guest, Post, Comment])
