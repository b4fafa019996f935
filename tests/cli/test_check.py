"""``fly-orm check`` prints what it finds, and its exit status says how bad that is."""

from __future__ import annotations

import json
import logging
import sys

import pytest

import fly_orm
from fly_orm.cli import main
from fly_orm.runtime import runtime
from tests.support.ports import free_ports
from tests.support.two_regions import SECRET

pytestmark = pytest.mark.usefixtures("time_to_tell")


APP = """
from peewee import PostgresqlDatabase
import fly_orm

db = fly_orm.wrap(PostgresqlDatabase("{name}", host="{host}", port={port}, user="{user}"))
"""


@pytest.fixture
def check(regions, tmp_path, monkeypatch, capsys):
    """Runs the command in lax, with other environment variables than the right ones; its exit status and output."""
    (tmp_path / "checked_app.py").write_text(APP.format(name=regions.name, **regions.cluster.replica.params()))
    monkeypatch.chdir(tmp_path)
    right = {
        "PRIMARY_REGION": "syd",
        "FLY_REGION": "lax",
        "FLY_ORM_NODES": f"syd={regions.wan.address}",
        "FLY_ORM_SECRET": SECRET,
        "FLY_ORM_RPC_TIMEOUT": "15",
        "FLY_ORM_REPLICATION_TIMEOUT": "15",
    }

    def check(*arguments, **variables):
        runtime.forget()
        sys.modules.pop("checked_app", None)
        for name, value in {**right, **variables}.items():
            monkeypatch.setenv(name, value)
        status = main(["check", *arguments])
        return status, capsys.readouterr().out

    yield check
    sys.modules.pop("checked_app", None)


def test_where_all_is_well_the_exit_status_is_0(check):
    status, out = check("checked_app:db")
    assert status == 0
    assert "Nothing is wrong" in out
    assert "region                lax" in out
    assert "executed a write" in out
    assert SECRET not in out


def test_warnings_make_it_1(check):
    status, out = check("checked_app:db", "--no-write", FLYORMSECRET="x")
    assert status == 1
    assert "If you mean FLY_ORM_SECRET, correct the name" in out
    assert out.rstrip().splitlines()[-1].startswith("Errors: 0. Warnings: 1.")


def test_errors_make_it_2(check):
    status, out = check(FLY_ORM_NODES=f"syd=127.0.0.1:{free_ports(1)[0]}")
    assert status == 2
    assert "No node of the primary region can be reached" in " ".join(out.split())


@pytest.mark.parametrize(
    ("arguments", "variables", "told"),
    [
        (["checked_app:db"], {"FLY_ORM_NODE": "syd=a:1"}, "did you mean 'FLY_ORM_NODES'?"),
        (["checked_app:db"], {"FLYORM_WAITER": "native", "FLY_ORM_WAITER": "polling"}, "two spellings of one setting"),
        (["checked_app:db"], {"FLY_ORM_SECRET": "short"}, "could be guessed"),
        (["checked_app:db"], {"FLY_ORM_TRANSPORT": "sparrow"}, "no installed distribution provides 'sparrow'"),
        (["checked_app:db"], {"FLY_ORM_NODES": "syd=nowhere"}, "FLY_ORM_NODES: 'nowhere' is not an address"),
        (["checked_app:db"], {"FLYORM_NODES": "syd=nowhere", "FLY_ORM_NODES": ""}, "FLYORM_NODES: 'nowhere' is not an"),
        (["checked_app:nothing"], {}, "checked_app has no 'nothing'"),
    ],
)
def test_what_cannot_even_be_loaded_is_a_finding_in_json_as_well(check, arguments, variables, told):
    status, out = check("--json", *arguments, **variables)
    assert status == 2
    messages = [finding["message"] for finding in json.loads(out)["findings"] if finding["level"] == "error"]
    assert told in " ".join(messages)


def test_an_application_that_cannot_be_imported_is_a_finding(check, tmp_path, monkeypatch):
    (tmp_path / "broken_app.py").write_text("import psycopg2\npsycopg2.connect('host=127.0.0.1 port=1')")
    status, out = check("--json", "broken_app:db")
    assert status == 2
    [finding] = json.loads(out)["findings"]
    assert finding["topic"] == "application"
    assert finding["message"].startswith("broken_app:db cannot be imported: OperationalError: ")


def test_a_database_that_the_application_has_not_wrapped_is_an_error(check, regions, tmp_path, monkeypatch):
    unwrapped = APP.format(name=regions.name, **regions.cluster.replica.params()).replace("fly_orm.wrap", "")
    (tmp_path / "unwrapped_app.py").write_text(unwrapped)
    status, out = check("unwrapped_app:db")
    assert status == 2
    assert "this PostgresqlDatabase is not wrapped: where it is made, call fly_orm.wrap() with it" in " ".join(
        out.split()
    )


def test_json_has_the_findings_the_settings_and_the_versions(check):
    status, out = check("--json", "checked_app:db", FLYORM_WAITER="polling")
    found = json.loads(out)
    assert status == 0
    assert found["settings"]["waiter"] == {"value": "polling", "source": "FLYORM_WAITER"}
    assert found["level"] == "ok"
    assert found["settings"]["region"] == {"value": "lax", "source": "FLY_REGION"}
    assert found["settings"]["secret"] == {"value": "set", "source": "FLY_ORM_SECRET"}
    assert found["versions"]["fly_orm"] == fly_orm.__version__
    assert {"level", "topic", "subject", "message", "advice"} == found["findings"][0].keys()


@pytest.mark.parametrize("wrong", ["0", "-1", "soon", "inf", "nan"])
def test_a_wrong_timeout_is_refused(capsys, wrong):
    with pytest.raises(SystemExit):
        main(["check", f"--timeout={wrong}"])
    assert "write seconds" in capsys.readouterr().err


def test_the_version_is_there(capsys):
    with pytest.raises(SystemExit) as left:
        main(["--version"])
    assert left.value.code == 0
    assert capsys.readouterr().out.startswith(f"fly_orm {fly_orm.__version__}, Python 3.")


def test_a_check_leaves_the_log_as_it_was(capsys):
    log = logging.getLogger("fly_orm")
    before = log.level
    main(["check", "--timeout=1"])
    assert "Settings" in capsys.readouterr().out
    assert log.level == before
