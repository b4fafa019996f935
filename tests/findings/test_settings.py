"""What is wrong with the settings by themselves."""

from __future__ import annotations

import pytest

from fly_orm.findings.finding import Level, worst
from fly_orm.findings.settings import listening_findings, settings_findings
from fly_orm.findings.shown import CODE, shown_settings
from fly_orm.protocol.secret import Secrets
from fly_orm.settings import Settings, misspelt_variables, variables_set
from fly_orm.topology import Node, Topology
from tests.support.two_regions import SECRET, settings


def is_local(address):
    return address.startswith("127.")


def judged(given, **misspelt):
    findings = settings_findings(given, is_local, misspelt)
    return worst(findings), " ".join(map(str, findings))


@pytest.mark.parametrize(
    ("secret", "address", "level", "told"),
    [
        (SECRET, "10.0.0.1:7654", Level.OK, "is set and hard to guess"),
        (f"{SECRET} x{SECRET}", "10.0.0.1:7654", Level.OK, "2 values, for a rotation"),
        ("", "127.0.0.1:7654", Level.OK, "is not set, which is allowed"),
        ("", "10.0.0.1:7654", Level.ERROR, "is not set, and syd=10.0.0.1:7654 is on another machine"),
        ("correct-horse-battery", "10.0.0.1:7654", Level.ERROR, "could be guessed"),
    ],
)
def test_a_secret_that_is_missing_and_one_that_is_weak_are_told_apart(secret, address, level, told):
    found, text = judged(settings("lax", address, secret=secret))
    assert found is level
    assert told in text
    assert SECRET not in text


def test_an_address_to_listen_at_counts_as_well():
    level, text = judged(Settings(listen="[::]:7654"))
    assert level is Level.ERROR
    assert "FLY_ORM_LISTEN=[::]:7654 can be reached from other machines" in text


def test_nodes_that_are_found_by_the_name_of_the_application_count_as_well():
    level, text = judged(settings("lax", secret="", app="shop"))
    assert level is Level.ERROR
    assert "the nodes of 'shop' are on other machines" in text
    assert judged(Settings(app="shop"))[0] is Level.OK


@pytest.mark.parametrize(
    ("changes", "level", "told"),
    [
        ({"read_only": True}, Level.WARNING, "FLY_ORM_READ_ONLY is on"),
        ({"rpc_timeout": None}, Level.WARNING, "rpc_timeout is none"),
        ({"tls_cert": "/nowhere.pem"}, Level.ERROR, "FLY_ORM_TLS"),
    ],
)
def test_settings_that_are_not_for_production_are_found(changes, level, told):
    found, text = judged(settings("lax", **changes))
    assert found is level
    assert told in text


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("FLYORMSECRET", "FLY_ORM_SECRET"),
        ("FLY-ORM_SECRET", "FLY_ORM_SECRET"),
        ("FLY_ORM-SECRET", "FLY_ORM_SECRET"),
        ("fly_orm_nodes", "FLY_ORM_NODES"),
        ("flyorm_node", "FLY_ORM_NODES"),
        ("FLY_ROM_SECRET", "FLY_ORM_SECRET"),
        ("PRIMARYREGION", "PRIMARY_REGION"),
        ("PRIMARY_REGOIN", "PRIMARY_REGION"),
        ("MY_REGIONS", "MY_REGION"),
    ],
)
def test_a_variable_with_a_misspelt_name_is_noticed(name, meant):
    assert misspelt_variables({name: "x", "PATH": "/bin"}) == {name: meant}
    level, text = judged(Settings(), **{name: meant})
    assert level is Level.WARNING
    assert f"If you mean {meant}" in text


@pytest.mark.parametrize(
    "name",
    [
        "FLYORM_SECRET",
        "FLY_REGION",
        "FLY_APP_NAME",
        "FLY_IMAGE_REF",
        "FLY_MACHINE_ID",
        "FLY_PRIVATE_IP",
        "FLY_PROCESS_GROUP",
        "FLY_VM_MEMORY_MB",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "SECRET_KEY",
        "DATABASE_URL",
        "PGHOST",
    ],
)
def test_variables_of_others_are_left_alone(name):
    assert misspelt_variables({name: "x"}) == {}


@pytest.mark.parametrize(
    ("address", "changes", "told"),
    [
        ("127.0.0.1:7654", {"nodes": {"syd": (Node(region="syd", address="10.0.0.1:7654"),)}}, "at syd=10.0.0.1:7654"),
        ("127.0.0.1:7654", {"app": "shop", "nodes": {}}, "at the machines of 'shop'"),
        ("127.0.0.1:7654", {"nodes": {"syd": (Node(region="syd", address="127.0.0.1:7654"),)}}, ""),
        ("127.0.0.1:7654", {"nodes": {"lax": (Node(region="lax", address="10.0.0.1:7654"),)}}, ""),
        ("127.0.0.1:7654", {"nodes": {}}, ""),
        ("[::]:7654", {"nodes": {"syd": (Node(region="syd", address="10.0.0.1:7654"),)}}, ""),
    ],
)
def test_a_node_that_only_its_own_machine_can_reach_is_found(address, changes, told):
    findings = listening_findings(settings("syd", **changes), address, is_local)
    assert [finding.level for finding in findings] == ([Level.WARNING] if told else [])
    assert told in " ".join(map(str, findings))


def shown(environ, given=None):
    environment = Settings.from_environment(environ)
    table = shown_settings(given or environment, variables_set(environ), environment)
    return {each.name: (each.value, each.source) for each in table}


def test_each_setting_is_shown_with_its_source_and_no_secret_is():
    found = shown(
        {
            "MY_REGION": "lax",
            "PRIMARY_REGION": "syd",
            "FLY_ORM_NODES": "syd=a:1 b:2",
            "FLY_ORM_SECRET": SECRET,
            "FLY_ORM_TRANSPORT_OPTIONS": "password=hidden",
            "FLY_ORM_MAX_RESULT_BYTES": "1MiB",
            "FLY_ORM_WORKERS": "auto",
        }
    )
    assert found["region"] == ("lax", "MY_REGION")
    assert found["primary_region"] == ("syd", "PRIMARY_REGION")
    assert found["nodes"] == ("syd=a:1 b:2", "FLY_ORM_NODES")
    assert found["secret"] == ("set", "FLY_ORM_SECRET")
    assert found["transport_options"] == ("password=…", "FLY_ORM_TRANSPORT_OPTIONS")
    assert found["max_result_bytes"] == ("1MiB", "FLY_ORM_MAX_RESULT_BYTES")
    assert found["workers"] == ("one for each core", "FLY_ORM_WORKERS")
    assert found["waiter"] == ("auto", "default")
    assert SECRET not in str(found)
    assert "hidden" not in str(found)


def test_a_setting_that_the_code_has_made_is_not_taken_for_that_of_the_environment():
    given = Settings(topology=Topology(region="fra", primary_region=None), secret=Secrets(SECRET), rpc_timeout=2.5)
    found = shown({"FLY_REGION": "lax"}, given)
    assert found["region"] == ("fra", CODE)
    assert found["secret"] == ("set", CODE)
    assert found["rpc_timeout"] == ("2.5", CODE)


def test_every_setting_is_in_the_table():
    names = {*vars(Settings())} - {"topology"}
    assert names <= shown({}).keys()
