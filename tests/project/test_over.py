"""Tests that are run over every transport do run over it, and say so if they cannot."""

import pytest

import fly_orm
from fly_orm.registry import TRANSPORTS, registry
from tests.support.over import over

pytestmark = pytest.mark.over_every_transport(quick=True)


def test_a_write_takes_the_transport_that_the_test_is_run_over(regions, transport_between):
    lax = regions.lax()
    lax.execute_sql("CREATE TABLE t ()")
    assert fly_orm.why().node == f"syd={regions.wan.address}"
    directory = lax._fly_orm.forwarder.directory
    assert type(directory._transport) is registry(TRANSPORTS).load(transport_between)


@pytest.mark.parametrize(("ci", "outcome"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)])
def test_one_that_is_not_installed_is_skipped_and_fails_in_ci(monkeypatch, ci, outcome):
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match="the transport carrier is not installed"):
        over("carrier").__enter__()
