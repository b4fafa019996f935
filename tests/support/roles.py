"""Roles for a test, which belong to the whole cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from fly_orm.testing import Cluster
from tests.support.two_regions import TwoRegions, two_regions

SCHEMA = """
    CREATE TABLE doc (id serial PRIMARY KEY, tenant name DEFAULT current_user, body text, by name DEFAULT session_user);
    INSERT INTO doc (tenant, body) VALUES ('{0}', '1'), ('{1}', '2'), ('{1}', '3');
    ALTER TABLE doc ENABLE ROW LEVEL SECURITY;
    CREATE POLICY own ON doc USING (tenant = current_user);
    GRANT ALL ON ALL TABLES IN SCHEMA public TO "{0}", "{1}";
    GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO "{0}", "{1}"
"""


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


class Cast:
    """Two roles that see their own rows only, one that may do nothing, and two regions."""

    def __init__(self, cluster: Cluster, database: str, undo: ExitStack) -> None:
        self.undo, self.cluster, self.database = undo, cluster, database
        self.ann, self.bob, self.node = undo.enter_context(roles(cluster, database, "ann", "bob", "node"))
        self.sql(SCHEMA.format(self.ann, self.bob))

    def sql(self, sql: str) -> Any:
        with self.cluster.primary.connect(self.database) as connection, connection.cursor() as cursor:
            cursor.execute(sql)
            rows = cursor.fetchall() if cursor.description else None
        connection.close()
        self.cluster.wait_for_replica()
        return rows

    def regions(self, **node: Any) -> TwoRegions:
        return self.undo.enter_context(two_regions(self.cluster, self.database, node=node))
