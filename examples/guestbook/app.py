"""A guest book: an ordinary Flask and peewee application. The lines with fly_orm make it run in several regions."""

from __future__ import annotations

import os
from datetime import datetime, timezone
from typing import Any

from flask import Flask, Response, redirect, request
from peewee import DateTimeField, Model, TextField
from playhouse.db_url import connect

import fly_orm
from fly_orm.web import WSGIMiddleware

db = fly_orm.wrap(connect(os.environ["DATABASE_URL"]))
app = Flask(__name__)
app.wsgi_app = WSGIMiddleware(app.wsgi_app)  # type: ignore[method-assign]


class Entry(Model):
    """What a guest has written."""

    text = TextField()
    written = DateTimeField(default=lambda: datetime.now(timezone.utc))

    class Meta:
        database = db


@fly_orm.on_primary
def add_all(texts: list[str]) -> None:
    """Write several entries next to the primary: one round trip, however many there are."""
    for text in texts:
        Entry.create(text=text)


@app.before_request
def open_connection() -> None:
    """Take a connection from the pool."""
    db.connect(reuse_if_open=True)


@app.teardown_appcontext
def close_connection(_error: BaseException | None) -> None:
    """Give it back."""
    if not db.is_closed():
        db.close()


@app.get("/")
def entries() -> Response:
    """All entries, and where they were read."""
    lines = [entry.text for entry in Entry.select().order_by(Entry.id)]
    lines.append(f"-- in {fly_orm.my_region()}: {fly_orm.why()}\n")
    return Response("\n".join(lines), content_type="text/plain; charset=utf-8")


@app.post("/")
def write() -> Any:
    """Write one entry, or each line of a long one."""
    first, *others = request.form["text"].splitlines()
    Entry.create(text=first)
    if others:
        add_all(others)
    return redirect("/")


@app.get("/healthz")
def healthz() -> tuple[dict[str, Any], int]:
    """Whether a load balancer should send requests here."""
    health = fly_orm.check(db)
    return {"status": health.status}, 200 if health.ready else 503


@app.cli.command("migrate")
def migrate() -> None:
    """Create the table. Run this in the primary region, once."""
    db.create_tables([Entry])
