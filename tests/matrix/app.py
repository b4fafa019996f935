"""The application that the nodes of the matrix serve."""

from __future__ import annotations

import os

from playhouse.db_url import connect

import fly_orm

db = fly_orm.wrap(connect(os.environ["MATRIX_URL"])) if "MATRIX_URL" in os.environ else None


@fly_orm.on_primary
def store(name: str, padding: str) -> str:
    """Create a row, in a transaction of its own."""
    db.execute_sql("INSERT INTO item (name, padding) VALUES (%s, %s)", (name, padding))
    return name
