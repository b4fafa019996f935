"""The page shows the matrix that the tests check, without an empty cell."""

from tests.matrix.cells import EXPECTED, IMPOSSIBLE, page
from tests.matrix.faults import FAULTS
from tests.matrix.moments import MOMENTS
from tests.matrix.operations import OPERATIONS
from tests.support import ROOT


def test_every_cell_is_tested_or_cannot_occur():
    tested = {(cell.moment, cell.operation) for cell in EXPECTED}
    assert tested | IMPOSSIBLE.keys() == {(moment, operation) for moment in MOMENTS for operation in OPERATIONS}
    assert not tested & IMPOSSIBLE.keys()
    assert len(EXPECTED) == len(tested) * len(FAULTS)


def test_the_page_has_the_tables():
    assert page() in (ROOT / "docs" / "reliability.md").read_text(), page()
