"""Several processes try the same operation at the same time."""

import json
from contextlib import ExitStack

import pytest

from tests.support.processes import script
from tests.support.two_regions import SECRET, TwoRegions

ATTEMPT = """
import json, sys
import fly_orm
from peewee import PostgresqlDatabase
from fly_orm.settings import Settings
from fly_orm.topology import Node, Topology
given = json.loads(sys.argv[1])
settings = Settings(
    topology=Topology(region="lax", primary_region="syd"), secret=given["secret"],
    nodes={"syd": (Node(region="syd", address=given["node"]),)},
)
db = fly_orm.wrap(PostgresqlDatabase(**given["database"]), settings=settings)
db.connect()
print("ready", flush=True)
sys.stdin.readline()
outcomes = []
for number in range(given["count"]):
    with fly_orm.operation(f"order-{number}"):
        outcomes.append(db.execute_sql("INSERT INTO t (name) VALUES (NULL) RETURNING id").fetchone()[0])
print(json.dumps(outcomes), flush=True)
"""


@pytest.mark.slow
def test_each_is_executed_once_and_all_get_the_same_outcome(regions: TwoRegions) -> None:
    database = {**regions.cluster.replica.params(regions.name)}
    given = {"secret": SECRET, "node": regions.wan.address, "count": 40}
    given["database"] = {"database": database.pop("dbname"), **database}
    with ExitStack() as undo:
        processes = [undo.enter_context(script(ATTEMPT, json.dumps(given))) for _ in range(3)]
        for process in processes:
            assert process.stdout.readline() == "ready\n"  # type: ignore[union-attr]
        for process in processes:
            process.stdin.write("\n")  # type: ignore[union-attr]
            process.stdin.flush()  # type: ignore[union-attr]
        outcomes = [json.loads(process.stdout.readline()) for process in processes]  # type: ignore[union-attr]
    assert outcomes[0] == outcomes[1] == outcomes[2]
    assert regions.query("SELECT count(*) FROM t") == 40
