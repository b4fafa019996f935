"""``fly-orm transports`` lists the installed transports, and its exit status says whether all of them can be used."""

from __future__ import annotations

import re

import pytest

from fly_orm.cli import main
from fly_orm.registry import Plugin
from tests.support.certificates import Certificates, variables_of
from tests.support.over import TRANSPORTS


@pytest.fixture
def list_them(monkeypatch, capsys):
    """Runs the command with variables of the environment; returns its status, its rows by name, and its errors."""

    def list_them(**variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        status = main(["transports"])
        out, err = capsys.readouterr()
        _heading, *rows = (re.split(r"  +", line) for line in out.splitlines())
        return status, {name: row for name, *row in rows}, err

    return list_them


def test_it_lists_each_transport_with_its_distribution_and_the_selected_one(list_them):
    status, rows, err = list_them(FLY_ORM_TRANSPORT="inprocess")
    assert (status, err) == (0, "")
    assert set(TRANSPORTS) <= set(rows)
    assert rows["inprocess"][2:] == ["fly_orm_transports.inprocess:InProcessTransport", "ok, selected"]
    assert rows["pyro5"][2:] == ["fly_orm_transports.pyro5:Pyro5Transport", "ok"]


def test_certificates_are_for_the_selected_one_which_has_to_use_them(list_them, tmp_path):
    variables = variables_of(Certificates(tmp_path).files())
    assert list_them(**variables, FLY_ORM_TRANSPORT="pyro5")[0] == 0
    status, rows, _ = list_them(**variables, FLY_ORM_TRANSPORT="inprocess")
    assert status == 1
    assert rows["inprocess"][-1].startswith("this transport does not offer TLS")


def test_one_that_cannot_be_used_says_why_and_makes_the_status_1(list_them, monkeypatch):
    plugin = Plugin(name="sparrow", distribution="birds", version="1.0", target="birds:Sparrow")
    survey = [(plugin, "cannot be loaded: ModuleNotFoundError:\nNo module named 'birds'")]
    monkeypatch.setattr("fly_orm.cli.transports.survey_transports", lambda settings: survey)
    status, rows, err = list_them(FLY_ORM_TRANSPORT="sparrow")
    assert (status, err) == (1, "")
    problem = "cannot be loaded: ModuleNotFoundError: No module named 'birds', selected"
    assert rows == {"sparrow": ["birds", "1.0", "birds:Sparrow", problem]}


def test_an_option_of_the_selected_one_that_is_wrong_is_said_so(list_them):
    status, rows, _err = list_them(FLY_ORM_TRANSPORT="pyro5", FLY_ORM_TRANSPORT_OPTIONS="max_connections=many")
    assert status == 1
    assert "max_connections='many' is not a whole number" in rows["pyro5"][-1]


def test_a_selected_one_that_is_not_installed_is_an_error_below_the_list(list_them):
    status, rows, err = list_them(FLY_ORM_TRANSPORT="sparrow")
    assert status == 2
    assert "pyro5" in rows
    assert err.startswith("fly-orm: fly_orm.transports: no installed distribution provides 'sparrow'")


def test_help_lists_each_subcommand(capsys):
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    assert left.value.code == 0
    assert {"transports", "serve"} <= set(capsys.readouterr().out.split())
