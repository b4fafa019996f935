"""The cluster that tests share is the same for each of them."""

import itertools

from fly_orm.testing import Cluster

#: What a test may have done to the replica.
STATE = """
    SELECT ARRAY[pg_is_in_recovery()::text, CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused()::text END,
        current_setting('recovery_min_apply_delay')]
"""
_numbers = itertools.count(1)


def restore(cluster: Cluster) -> None:
    """Both servers run in their roles, and nothing holds replay up."""
    for server in (cluster.primary, cluster.replica):
        server.start()
    assert not cluster.primary.query("SELECT pg_is_in_recovery()")
    replica, paused, delay = cluster.replica.query(STATE)
    assert replica == "true", "a test has promoted the shared cluster's replica"
    if paused == "true":
        cluster.resume_replay()
    if delay != "0":
        cluster.apply_delay(0)


def make_database(cluster: Cluster) -> str:
    """The name of an empty database, which the replica has too."""
    name = f"test_{next(_numbers)}"
    cluster.create_database(name)
    cluster.wait_for_replica()
    return name
