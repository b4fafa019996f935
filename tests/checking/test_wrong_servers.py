"""Servers of another system, and poolers in between, are found out. Nothing is written to the wrong server."""

from __future__ import annotations

import pytest

from fly_orm.checking.survey import check_setup
from fly_orm.deadline import Deadline
from fly_orm.findings.finding import Level
from fly_orm.testing import Cluster
from tests.support.pgbouncer import pgbouncer
from tests.support.two_regions import AMPLE, two_regions

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("time_to_tell")]


def checked(database):
    return check_setup([database._fly_orm], Deadline.after(AMPLE))


def found(report, level, topic):
    return " ".join(str(finding) for finding in report.findings if (finding.level, finding.topic) == (level, topic))


@pytest.fixture
def other(regions):
    """Another system with a database of the same name."""
    with Cluster.start() as cluster:
        cluster.create_database(regions.name)
        cluster.wait_for_replica()
        yield cluster


def test_a_replica_of_another_system(regions, other):
    system = found(checked(regions.on(other.replica)), Level.ERROR, "system")
    assert "belongs to another database system" in system
    assert "will never show its writes" in system


def test_a_primary_of_another_system_is_not_written(regions, other):
    report = checked(regions.on(other.primary))
    assert "belongs to another database system" in found(report, Level.ERROR, "system")
    assert "write" not in {finding.topic for finding in report.findings}


def test_a_pooler_in_front_of_the_replica_is_told_of(regions):
    with pgbouncer("session", regions.cluster.replica.params()) as pooler:
        report = checked(regions.lax(**pooler.parameters))
    assert "a connection pooler is in between" in found(report, Level.OK, "server")
    assert report.level is Level.OK, [str(finding) for finding in report.findings]


def test_a_pooler_in_front_of_a_node_that_does_not_keep_sessions_is_an_error(cluster, database):
    with (
        pgbouncer("transaction", cluster.primary.params()) as pooler,
        two_regions(cluster, database, node=pooler.parameters) as both,
    ):
        report = checked(both.lax())
        both.undo.close()
    write = found(report, Level.ERROR, "write")
    assert "pools by transaction" in write
    assert "a pooler in session mode" in write
