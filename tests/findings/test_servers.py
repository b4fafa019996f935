"""What a server, and the comparison with those of the nodes, tells."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from fly_orm.errors import NotDelivered
from fly_orm.findings.finding import Level, worst
from fly_orm.findings.nodes import NodeFacts, node_findings
from fly_orm.findings.server import ServerFacts, server_findings, sleepy_senders
from fly_orm.findings.systems import system_findings
from fly_orm.findings.writing import WriteFacts, write_findings
from fly_orm.position import History
from fly_orm.protocol.inspecting import Described, Inspected, ServedDatabase
from fly_orm.protocol.messages import Welcome
from fly_orm.topology import Node, Topology

SYD, LAX = (Topology(region=region, primary_region="syd") for region in ("syd", "lax"))
SETTINGS = {
    "synchronous_commit": "on",
    "max_standby_streaming_delay": "30000",
    "hot_standby_feedback": "off",
    "default_transaction_read_only": "off",
}
REPLICA = ServerFacts(
    primary=False,
    address="10.0.0.2:5432",
    run="replica",
    version=180006,
    role="web",
    history=History(7, 1),
    reads_all_stats=True,
    settings=SETTINGS,
)
PRIMARY = replace(REPLICA, primary=True, address="10.0.0.1:5432", run="primary")
NODE = Node(region="syd", address="a:1")


def node(node=NODE, *, server=PRIMARY, **changes):
    """A node whose server this is."""
    described = Described(primary=server.primary, run=server.run, address=server.address, history=server.history)
    served = ServedDatabase(name="shop", server=described, version=server.version, role=server.role)
    told = {"version": "1", "driver": "2.9", "time": 0.0, "uptime": 1.0, "databases": [served], **changes}
    welcome = Welcome(region=node.region, databases=["shop"], primary_region="syd")
    return NodeFacts(node=node, welcome=welcome, inspected=Inspected(**told))


def judged(findings):
    return worst(findings), " ".join(map(str, findings))


@pytest.mark.parametrize("server", [REPLICA, PRIMARY, replace(REPLICA, pooled=True)])
def test_a_server_as_it_should_be_is_fine(server):
    assert judged(server_findings("shop", server))[0] is Level.OK


@pytest.mark.parametrize(
    ("server", "level", "told"),
    [
        (replace(REPLICA, version=130009), Level.ERROR, "PostgreSQL 13.9 is too old"),
        (replace(REPLICA, history=None), Level.WARNING, "GRANT EXECUTE ON FUNCTION pg_control_system()"),
        (replace(REPLICA, receiving=False), Level.ERROR, "no WAL receiver"),
        (replace(REPLICA, replay_paused=True), Level.ERROR, "pg_wal_replay_resume()"),
        (
            replace(REPLICA, settings={**SETTINGS, "max_standby_streaming_delay": "-1"}),
            Level.WARNING,
            "max_standby_streaming_delay is -1",
        ),
        (
            replace(PRIMARY, settings={**SETTINGS, "synchronous_commit": "off"}),
            Level.WARNING,
            "synchronous_commit is off",
        ),
        (
            replace(PRIMARY, settings={**SETTINGS, "default_transaction_read_only": "on"}),
            Level.ERROR,
            "default_transaction_read_only is on",
        ),
    ],
)
def test_what_is_wrong_with_a_server_is_found(server, level, told):
    found, text = judged(server_findings("shop", server))
    assert found is level
    assert told in text


def test_senders_that_sleep_need_a_privilege_from_postgresql_16_on():
    assert sleepy_senders(150000, "node", reads_all_stats=False, subject="") == []
    assert sleepy_senders(160000, "node", reads_all_stats=True, subject="") == []
    [finding] = sleepy_senders(160000, "node", reads_all_stats=False, subject="")
    assert finding.level is Level.WARNING
    assert finding.advice == 'GRANT pg_read_all_stats TO "node"'


@pytest.mark.parametrize(
    ("own", "topology", "nodes"),
    [
        (REPLICA, LAX, [node()]),
        (PRIMARY, SYD, [node()]),
        (PRIMARY, SYD, []),
        (REPLICA, LAX, []),
        (PRIMARY, Topology(region="local", primary_region=None), []),
    ],
)
def test_servers_that_belong_together_are_fine(own, topology, nodes):
    assert judged(system_findings("shop", own, topology, nodes))[0] is Level.OK


@pytest.mark.parametrize(
    ("own", "topology", "nodes", "level", "told"),
    [
        (PRIMARY, LAX, [node()], Level.WARNING, "is not a replica but the primary, which syd=a:1 writes to"),
        (PRIMARY, LAX, [], Level.WARNING, "is not a replica but the primary"),
        (REPLICA, SYD, [node(server=REPLICA)], Level.ERROR, "this is the primary region, but its server"),
        (
            REPLICA,
            SYD,
            [node(Node(region="lax", address="b:1"))],
            Level.WARNING,
            "set PRIMARY_REGION=lax everywhere",
        ),
        (REPLICA, LAX, [node(server=REPLICA)], Level.ERROR, "no node that can be reached has the primary"),
        (replace(REPLICA, history=History(8, 1)), LAX, [node()], Level.ERROR, "another database system"),
        (
            REPLICA,
            LAX,
            [node(server=replace(PRIMARY, history=History(7, 2)))],
            Level.ERROR,
            "has not followed a failover",
        ),
    ],
)
def test_servers_that_do_not_belong_together_are_found(own, topology, nodes, level, told):
    found, text = judged(system_findings("shop", own, topology, nodes))
    assert found is level
    assert told in text


def test_two_primaries_are_an_error():
    copy = node(Node(region="lax", address="b:1"), server=replace(PRIMARY, run="copy", address="10.0.0.3:5432"))
    found, text = judged(system_findings("shop", REPLICA, LAX, [node(), copy]))
    assert found is Level.ERROR
    assert "10.0.0.1:5432 (syd=a:1) and 10.0.0.3:5432 (lax=b:1)" in text
    same = node(Node(region="syd", address="b:1"))
    assert judged(system_findings("shop", REPLICA, LAX, [node(), same]))[0] is Level.OK


def test_a_node_that_executes_the_statements_of_others_as_a_superuser_is_a_warning():
    def as_superuser(role):
        facts = node()
        [served] = facts.inspected.databases
        changed = msgspec.structs.replace(served, role=role, superuser=True)
        return replace(facts, inspected=msgspec.structs.replace(facts.inspected, databases=[changed]))

    found, text = judged(system_findings("shop", REPLICA, LAX, [as_superuser("postgres")]))
    assert found is Level.WARNING
    assert "logs in as 'postgres', a superuser, and executes statements of the role 'web'" in text
    assert judged(system_findings("shop", REPLICA, LAX, [as_superuser("web")]))[0] is Level.OK


def test_a_primary_that_a_failover_has_left_behind_is_an_error():
    newer = node(Node(region="lax", address="b:1"), server=replace(PRIMARY, run="new", history=History(7, 2)))
    found, text = judged(system_findings("shop", PRIMARY, SYD, [newer]))
    assert found is Level.ERROR
    assert "was superseded by a failover" in text
    assert "PRIMARY_REGION=lax" in text


def test_within_the_primary_region_only_the_writes_of_others_need_a_node():
    found, text = judged(node_findings([NodeFacts(node=NODE)], SYD, version="1"))
    assert found is Level.ERROR
    assert "so the writes of other regions fail" in text


def test_a_server_that_must_not_be_written_is_an_error():
    found, text = judged(system_findings("shop", PRIMARY, LAX, [node()], wrong="it is a restored copy"))
    assert found is Level.ERROR
    assert "it is a restored copy" in text


@pytest.mark.parametrize(
    ("nodes", "level", "told"),
    [
        ([node()], Level.WARNING, "GRANT pg_read_all_stats"),
        ([node(version="2")], Level.WARNING, "it runs fly_orm 2, and this process 1"),
        ([node(draining=True)], Level.WARNING, "is shutting down"),
        ([replace(node(), clock_offset=-60)], Level.WARNING, "its clock is 60.0 s behind"),
        ([replace(node(), inspected=None)], Level.WARNING, "reports neither its version"),
        ([NodeFacts(node=NODE, problem=NotDelivered("refused"))], Level.ERROR, "No node of the primary region"),
        ([NodeFacts(node=NODE)], Level.ERROR, "it did not answer in time"),
        ([NodeFacts(node=Node(region="lax", address="b:1"))], Level.WARNING, "it did not answer in time"),
        (
            [NodeFacts(node=Node(region="syd", address="b:1"), problem=NotDelivered("refused")), node()],
            Level.WARNING,
            "syd=b:1: refused",
        ),
        (
            [node(Node(region="syd", address="c:1"), databases=[ServedDatabase(name="shop", problem="down")])],
            Level.ERROR,
            "shop: down",
        ),
    ],
)
def test_what_is_wrong_with_a_node_is_found(nodes, level, told):
    found, text = judged(node_findings(nodes, LAX, version="1", databases=["shop"]))
    assert found is level
    assert told in text


@pytest.mark.parametrize(
    ("welcome", "databases", "told"),
    [
        (Welcome(region="fra", databases=["shop"], primary_region="syd"), ["shop"], "says that it runs in 'fra'"),
        (Welcome(region="syd", databases=["shop"], primary_region="sid"), ["shop"], "its PRIMARY_REGION is sid"),
        (Welcome(region="syd", databases=["shop"], primary_region="syd"), ["orders"], "does not serve 'orders'"),
        (Welcome(region="syd", databases=["shop"], primary_region="syd"), ["orders"], "serve … MODULE:ATTRIBUTE`"),
    ],
)
def test_a_node_with_other_settings_is_an_error(welcome, databases, told):
    facts = replace(node(), welcome=welcome)
    found, text = judged(node_findings([facts], LAX, version="1", databases=databases))
    assert found is Level.ERROR
    assert told in text


def test_a_write_of_which_nothing_is_known_is_not_called_fine():
    [finding] = write_findings("shop", WriteFacts(problem="no answer"))
    assert finding.level is Level.ERROR
