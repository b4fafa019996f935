"""The cluster that tests share is the same for each of them."""

import itertools

from fly_orm.testing import Cluster

_numbers = itertools.count(1)


def restore(cluster: Cluster) -> None:
    """Both servers run in their roles, and nothing holds replay up."""
    for server in (cluster.primary, cluster.replica):
        server.start()
    assert not cluster.primary.query("SELECT pg_is_in_recovery()")
    assert cluster.replica.query("SELECT pg_is_in_recovery()"), "a test has promoted the shared cluster's replica"
    cluster.resume_replay()
    if cluster.replica.query("SHOW recovery_min_apply_delay") != "0":
        cluster.apply_delay(0)


def make_database(cluster: Cluster) -> str:
    """The name of an empty database, which the replica has too."""
    name = f"test_{next(_numbers)}"
    cluster.create_database(name)
    cluster.wait_for_replica()
    return name
