"""A function that runs next to the primary, hit by each fault at each moment."""

import pytest

from tests.matrix.cells import cells, unknown
from tests.matrix.trial import check


@pytest.mark.slow
@pytest.mark.parametrize("cell", cells("function"), ids=str)
def test_the_caller_sees_what_became_of_it(here, cell):
    check(here, cell)


@pytest.mark.slow
@pytest.mark.parametrize("cell", unknown("function"), ids=str)
def test_with_a_ledger_the_caller_is_told_what_an_unknown_outcome_was(here, cell):
    check(here, cell, ledger=True)
