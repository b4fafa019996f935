"""Roles for a test, which belong to the whole cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fly_orm.testing import Cluster


@contextmanager
def roles(cluster: Cluster, database: str, *names: str) -> Iterator[list[str]]:
    """Roles that may log in, whose names begin with the database's, until the end of the block."""
    made = [f"{database}_{name}" for name in names]
    server = cluster.primary
    for role in made:
        server.query(f'CREATE ROLE "{role}" LOGIN')
    cluster.wait_for_replica()
    try:
        yield made
    finally:
        with server.connect(database) as connection, connection.cursor() as cursor:
            for role in made:
                cursor.execute(f'DROP OWNED BY "{role}" CASCADE; DROP ROLE "{role}"')
        connection.close()
