"""COMMIT, hit by each fault at each moment."""

import pytest

from tests.matrix.cells import cells
from tests.matrix.trial import check


@pytest.mark.slow
@pytest.mark.parametrize("cell", cells("commit"), ids=str)
def test_the_caller_sees_what_became_of_it(here, cell):
    check(here, cell)
