"""Each record of the log has an event and fields, and the documentation lists them."""

from __future__ import annotations

from tests.project.logged import calls, table
from tests.support import ROOT

#: What makes its fields of an event that observers hear.
SERVED = "log.py"


def test_each_record_has_an_event() -> None:
    assert [call for call in calls() if not call.event and not call.place.startswith(SERVED)] == []


def test_the_page_lists_all_of_them() -> None:
    page = (ROOT / "docs" / "observing.md").read_text()
    listed = page.partition("## Records")[2].partition("|---|---|---|---|---|\n")[2].splitlines()
    assert listed == table(), "replace the table by the output of `python -m tests.project.logged`"
