"""The cluster that tests share is the same for each of them."""

from fly_orm.testing import Cluster


def restore(cluster: Cluster) -> None:
    """Both servers run in their roles, and nothing holds replay up."""
    for server in (cluster.primary, cluster.replica):
        server.start()
    assert not cluster.primary.query("SELECT pg_is_in_recovery()")
    assert cluster.replica.query("SELECT pg_is_in_recovery()"), "a test has promoted the shared cluster's replica"
    cluster.resume_replay()
    if cluster.replica.query("SHOW recovery_min_apply_delay") != "0":
        cluster.apply_delay(0)
