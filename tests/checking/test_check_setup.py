"""Each way to set up two regions wrongly is named for what it is, on real servers."""

from __future__ import annotations

from dataclasses import replace

import peewee
import pytest

import fly_orm
from fly_orm.checking.survey import check_setup
from fly_orm.deadline import Deadline
from fly_orm.findings.finding import Level
from fly_orm.ledger.table import create_sql
from fly_orm.topology import Node, Topology
from tests.support.certificates import Certificates
from tests.support.ports import free_ports
from tests.support.roles import roles
from tests.support.two_regions import AMPLE, OTHER_SECRET, settings, two_regions

pytestmark = pytest.mark.usefixtures("time_to_tell")


def checked(database, **options):
    return check_setup([database._fly_orm], Deadline.after(AMPLE), **options)


def found(report, level, topic):
    """The findings of a topic, as text."""
    return " ".join(str(finding) for finding in report.findings if (finding.level, finding.topic) == (level, topic))


@pytest.fixture
def lax(regions):
    """Makes a wrapped database in lax, whose settings differ from the right ones in this way."""

    def lax(server=None, **changes):
        address = changes.pop("address", regions.wan.address)
        topology = changes.pop("topology", Topology(region="lax", primary_region="syd"))
        given = replace(settings("lax", address, **changes), topology=topology)
        return regions.on(server or regions.cluster.replica, options={"settings": given})

    return lax


@pytest.mark.parametrize("nodes", [True, False], ids=["with nodes", "without nodes"])
def test_a_replica_where_no_primary_region_is_set_takes_no_writes(regions, lax, nodes):
    topology = Topology(region="lax", primary_region=None)
    database = lax(topology=topology, **({} if nodes else {"nodes": {}, "address": None}))
    report = checked(database)
    said = found(report, Level.ERROR, "write")
    assert "PRIMARY_REGION is not set, so that writes run on the local server, a replica, which refuses them" in said
    assert not found(report, Level.OK, "write")
    assert "PRIMARY_REGION names" not in str(report)
    with pytest.raises(peewee.InternalError, match="PRIMARY_REGION is not set"):
        database.execute_sql("CREATE TABLE item (name text)")


def test_a_right_set_up_is_fine_and_a_write_is_forwarded_and_waited_for(regions, lax):
    report = checked(lax())
    assert report.level is Level.OK, [str(finding) for finding in report.findings]
    [node] = report.settings and [each.value for each in report.settings if each.name == "nodes"]
    assert node == f"syd={regions.wan.address}"
    write = found(report, Level.OK, "write")
    assert f"syd={regions.wan.address} executed a write" in write
    assert "and the replica of this region showed it" in write
    assert "both are on timeline 1 of system" in found(report, Level.OK, "system")


def test_files_of_a_certificate_that_are_missing_are_found_with_their_variables(lax):
    report = checked(lax(tls_cert="/nowhere.pem", tls_key="/nowhere.key", tls_ca="/nowhere.ca"))
    assert "/nowhere" in found(report, Level.ERROR, "tls")
    assert "FLY_ORM_TLS_KEY" in found(report, Level.ERROR, "tls")
    assert found(report, Level.ERROR, "settings") == ""


@pytest.mark.parametrize("encrypts", ["here", "there"])
def test_tls_on_one_end_only_is_suspected_where_a_connection_leads_to_no_handshake(regions, tmp_path, encrypts):
    tls = Certificates(tmp_path).settings()
    here, there = (tls, {}) if encrypts == "here" else ({}, tls)
    with fly_orm.serve(regions.syd(), listen="127.0.0.1:0", settings=settings("syd", **there)) as node:
        lax = regions.on(regions.cluster.replica, options={"settings": settings("lax", node.address, **here)})
        text = found(checked(lax, writes=False), Level.ERROR, "node")
    assert f"If that node does{' not' if encrypts == 'here' else ''}, set FLY_ORM_TLS_CERT" in text
    assert "the network lets this one connect" not in text


def test_databases_with_other_settings_are_checked_with_these(regions):
    good, bad = regions.wan.address, f"127.0.0.1:{free_ports(1)[0]}"
    one, slow, other = (
        regions.on(regions.cluster.replica, options={"settings": settings("lax", address, **more), "name": name})
        for name, address, more in [
            (regions.name, good, {}),
            ("slow", good, {"rpc_timeout": 9.0}),
            ("other", bad, {}),
        ]
    )
    report = check_setup([each._fly_orm for each in (one, slow, other)], Deadline.after(AMPLE), writes=False)
    shown = {each.name: each.value for each in report.settings}
    assert {name: value for name, value in shown.items() if "." in name} == {
        "slow.rpc_timeout": "9",
        "other.nodes": f"syd={bad}",
    }
    assert shown["nodes"] == f"syd={good}"
    assert f"syd={bad}" in found(report, Level.ERROR, "node")
    answers = [each for each in report.findings if each.topic == "node" and "answers in" in each.message]
    assert [each.subject for each in answers] == [f"syd={good}"]  # once, though two databases use it


def test_an_address_without_a_port_is_to_be_corrected_where_it_is_listed(lax):
    text = found(checked(lax(address="127.0.0.1"), writes=False), Level.ERROR, "node")
    assert "write host:port" in text
    assert "FLY_ORM_NODES" in text
    assert "FLY_ORM_LISTEN" not in text


def test_a_write_leaves_nothing_behind(regions):
    regions.query(create_sql())
    state = "SELECT (SELECT count(*) FROM fly_orm_ledger) || ' ' || (SELECT count(*) FROM pg_class)"
    before = regions.query(state)
    database = regions.lax(options={"exactly_once": True})
    assert found(checked(database), Level.OK, "write")
    assert regions.query(state) == before


def test_no_write_is_tried_if_it_is_not_wanted(regions, lax):
    database, before = lax(), regions.query("SELECT pg_current_xact_id()::text::bigint")
    assert "write" not in {finding.topic for finding in checked(database, writes=False).findings}
    assert regions.query("SELECT pg_current_xact_id()::text::bigint") == before + 1


def test_another_secret(lax):
    report = checked(lax(secret=OTHER_SECRET))
    assert "does not hold the same FLY_ORM_SECRET as this process" in found(report, Level.ERROR, "secret")
    assert "a write failed" in found(report, Level.ERROR, "write")


def test_another_port(lax):
    report = checked(lax(address=f"127.0.0.1:{free_ports(1)[0]}"))
    node = found(report, Level.ERROR, "node")
    assert "refused" in node
    assert "Check that `fly-orm serve` runs there" in node


def test_a_misspelt_primary_region(lax):
    report = checked(lax(topology=Topology(region="lax", primary_region="sid")))
    assert "If you mean 'syd', correct PRIMARY_REGION" in found(report, Level.ERROR, "region")


def test_a_misspelt_region_of_this_process(regions, lax):
    report = checked(lax(regions.cluster.primary, topology=Topology(region="SYD", primary_region="syd")))
    assert "If you mean 'syd', correct FLY_REGION" in found(report, Level.WARNING, "region")


def test_the_address_of_the_replica_leads_to_the_primary(regions, lax):
    report = checked(lax(regions.cluster.primary))
    assert report.level is Level.WARNING
    assert f"the primary, which syd={regions.wan.address} writes to" in found(report, Level.WARNING, "region")
    assert "the local server executed a write" in found(report, Level.OK, "write")


def test_a_primary_that_is_taken_for_a_replica(regions, lax):
    report = checked(lax(regions.cluster.primary, read_only=True))
    assert "executed a write" in found(report, Level.OK, "write")
    assert "FLY_ORM_READ_ONLY is on" in found(report, Level.WARNING, "settings")
    assert found(report, Level.WARNING, "region") == ""


def test_the_address_of_the_primary_leads_to_the_replica(regions):
    database = regions.on(regions.cluster.replica, options={"settings": settings("syd", regions.wan.address)})
    assert "this is the primary region, but its server" in found(checked(database), Level.ERROR, "region")


def test_a_node_that_is_down(regions, lax):
    database = lax()
    regions.serving.close()
    report = checked(database)
    assert "No node of the primary region can be reached" in found(report, Level.ERROR, "node")
    assert "connected to the replica" in found(report, Level.OK, "server")


def test_one_of_two_nodes_is_down(regions, lax):
    down = f"127.0.0.1:{free_ports(1)[0]}"
    nodes = {"syd": tuple(Node(region="syd", address=address) for address in (down, regions.wan.address))}
    report = checked(lax(nodes=nodes))
    assert report.level is Level.WARNING
    assert f"syd={down}" in found(report, Level.WARNING, "node")


def test_a_node_that_does_not_serve_the_database(regions):
    database = regions.lax(options={"name": "orders"})
    assert f"does not serve 'orders', only {regions.name}" in found(checked(database), Level.ERROR, "database")


def test_a_replica_that_is_down(regions, lax):
    database = lax()
    regions.cluster.replica.stop()
    server = found(checked(database), Level.ERROR, "server")
    regions.cluster.replica.start()
    assert "cannot connect to the local server" in server
    assert "replica of this region" in server


def test_a_replica_that_does_not_replay(regions, lax):
    database = lax(replication_timeout=0.2)
    with regions.cluster.replay_paused():
        report = checked(database)
    assert "does not show it" in found(report, Level.ERROR, "replication")
    assert "replay is paused" in found(report, Level.ERROR, "replication")


def test_roles_with_few_privileges(cluster, database):
    with (
        roles(cluster, database, "web", "node") as (web, node),
        two_regions(cluster, database, node={"user": node}) as both,
    ):
        both.query("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
        cluster.wait_for_replica()
        report = checked(both.lax(user=web))
        privileges = found(report, Level.WARNING, "privileges")
        both.undo.close()
    assert f'pg_control_recovery() TO "{web}"' in privileges
    assert f'GRANT pg_read_all_stats TO "{node}"' in privileges
    assert "(docs/roles.md)" in found(report, Level.ERROR, "write")


def test_a_node_that_logs_in_as_a_superuser(cluster, database):
    with roles(cluster, database, "web") as (web,), two_regions(cluster, database) as both:
        report = checked(both.lax(user=web))
        both.undo.close()
    assert f"a superuser, and executes statements of the role {web!r}" in found(report, Level.WARNING, "privileges")


def test_a_node_that_hangs_does_not_hold_up_the_check(regions, lax):
    database = lax()
    regions.wan.stall()
    report = check_setup([database._fly_orm], Deadline.after(1))
    assert report.level is Level.ERROR
    assert found(report, Level.ERROR, "node")
