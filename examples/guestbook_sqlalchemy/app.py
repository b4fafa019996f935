"""A guest book in its smallest form: Flask-SQLAlchemy, in several regions."""

from __future__ import annotations

import os
from typing import Any

from flask import Flask, abort, redirect, request
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import fly_orm
from fly_orm.web import WSGIMiddleware


class Base(DeclarativeBase):
    """Base of the models."""


app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = os.environ["DATABASE_URL"]
app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {"plugins": ["fly_orm"]}
app.wsgi_app = WSGIMiddleware(app.wsgi_app)  # type: ignore[method-assign]
db = SQLAlchemy(app, model_class=Base)

with app.app_context():
    engine = db.engine  # what `fly-orm serve app:engine` serves


class Entry(db.Model):  # type: ignore[name-defined]  # made by Flask-SQLAlchemy
    """What a guest has written."""

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]


@app.get("/")
def entries() -> str:
    """All entries, and where they were read."""
    lines = [entry.text for entry in db.session.scalars(db.select(Entry).order_by(Entry.id))]
    return "\n".join([*lines, f"-- in {fly_orm.my_region()}: {fly_orm.why()}\n"])


@app.post("/")
def write() -> Any:
    """Write an entry."""
    db.session.add(Entry(text=given_text()))
    db.session.commit()
    return redirect("/")


@fly_orm.on_primary
def add_all(texts: list[str]) -> Entry:
    """Write several entries next to the primary, in one round trip, and return the last one."""
    with app.app_context():
        added = [Entry(text=text) for text in texts]
        db.session.add_all(added)
        db.session.commit()
        db.session.refresh(added[-1])
        return added[-1]


@app.post("/many")
def write_many() -> Any:
    """Write each line as an entry."""
    last = add_all(given_text().splitlines())
    return f"the last one is {last.text!r}, read here: {last in db.session}\n"


def given_text() -> str:
    """The text of the form; Postgres stores no NUL."""
    text = request.form["text"].strip()
    return text if text and "\0" not in text else abort(400, "The form needs a text, without NUL.")


@app.errorhandler(OperationalError)
@app.errorhandler(fly_orm.FlyOrmError)
def unavailable(error: Exception) -> tuple[str, int]:
    """Say what became of a write when the primary, or the local server, could not be reached."""
    nothing = isinstance(error, (fly_orm.NotDelivered, fly_orm.Refused, fly_orm.TransactionLost))
    saved = "nothing was saved" if nothing or request.method == "GET" else "it is not known whether this was saved"
    return f"the database cannot be reached; {saved}\n", 503


@app.cli.command("migrate")
def migrate() -> None:
    """Create the table. Run this in the primary region, once."""
    db.create_all()
