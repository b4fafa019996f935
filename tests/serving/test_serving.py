"""Serving, from an application."""

from __future__ import annotations

import pytest

import fly_orm
from fly_orm import ConfigurationError
from tests.support.two_regions import settings


def test_serving_nothing_is_refused():
    with pytest.raises(ConfigurationError, match="at least one database"):
        fly_orm.serve(settings=settings("syd"))


def test_closing_twice_is_closing_once(regions):
    regions.serving.close()
    regions.serving.close()
