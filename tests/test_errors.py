"""The errors of fly_orm as values."""

from __future__ import annotations

import pickle

import pytest

import fly_orm
from fly_orm import errors


@pytest.mark.parametrize("name", errors.__all__)
def test_every_error_pickles_with_its_facts(name):
    error = getattr(errors, name)("what happened", node="syd=a:1")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert (str(copy), copy.node) == ("what happened", "syd=a:1")
    assert isinstance(error, fly_orm.FlyOrmError)
