"""A timeout becomes a deadline once."""

from __future__ import annotations

import math

import pytest

from fly_orm.deadline import Deadline


def test_no_timeout_is_a_deadline_that_never_comes():
    deadline = Deadline.after(None)
    assert deadline.remaining() is None
    assert not deadline.expired
    assert deadline.at == math.inf


def test_a_timeout_of_zero_has_come():
    deadline = Deadline.after(0)
    assert deadline.expired
    assert deadline.remaining() == 0


@pytest.mark.parametrize("timeout", [-1, -0.001, math.nan])
def test_a_negative_timeout_is_rejected(timeout):
    with pytest.raises(ValueError, match="0 \\(do not wait\\) or more"):
        Deadline.after(timeout)


def test_within_takes_the_earlier_and_keeps_the_callers_number():
    long, short = Deadline.after(60), Deadline.after(1)
    assert long.within(1).timeout == 1
    assert short.within(60) is short
    assert Deadline.after(None).within(3).timeout == 3
