"""Whoever passes to wrap() what is not a database, but has one, is told what to pass."""

from __future__ import annotations

import re
from typing import Any

import flask
import flask_sqlalchemy
import pytest
from playhouse.flask_utils import FlaskDB
from psycopg2.pool import ThreadedConnectionPool

import fly_orm


def of_package(package: str) -> Any:
    """An object of a class that a library defines, which is not installed here."""
    return type("Pool", (), {"__module__": f"{package}.pool"})()


@pytest.mark.parametrize(
    ("wrong", "advice"),
    [
        ("postgresql:///shop", "and not its address"),
        (flask_sqlalchemy.SQLAlchemy(), "fly_orm.wrap(db.engine)"),
        (type("Own", (flask_sqlalchemy.SQLAlchemy,), {})(), "fly_orm.wrap(db.engine)"),
        (FlaskDB(), "fly_orm.wrap(flask_db.database)"),
        (ThreadedConnectionPool(0, 1), "connection_factory=fly_orm.connection_factory()"),
        (of_package("psycopg_pool"), "connections of psycopg2, and not those of psycopg_pool"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else None,
)
def test_the_error_says_what_to_pass(wrong: Any, advice: str) -> None:
    for function in (fly_orm.wrap, fly_orm.serve):
        with pytest.raises(fly_orm.ConfigurationError, match=f"no adapter wraps .*{re.escape(advice)}"):
            function(wrong)


def test_it_does_what_it_says() -> None:
    app = flask.Flask("shop")
    app.config["SQLALCHEMY_DATABASE_URI"] = "postgresql+psycopg2:///shop"
    db = flask_sqlalchemy.SQLAlchemy(app)
    with app.app_context():
        assert fly_orm.wrap(db.engine) is db.engine
