"""The check and the health of a right set-up are the same over every transport."""

from __future__ import annotations

import pytest

import fly_orm
from fly_orm.checking.survey import check_setup
from fly_orm.deadline import Deadline
from fly_orm.findings.finding import Level
from tests.support.two_regions import AMPLE

pytestmark = [pytest.mark.over_every_transport, pytest.mark.usefixtures("time_to_tell")]


def test_a_right_set_up_is_fine(regions):
    database = regions.lax()
    report = check_setup([database._fly_orm], Deadline.after(AMPLE))
    assert report.level is Level.OK, [str(finding) for finding in report.findings]
    assert any("executed a write" in finding.message for finding in report.findings)
    assert fly_orm.check(database, timeout=AMPLE).status == "ready"
