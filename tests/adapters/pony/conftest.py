"""Pony has the driver return JSON as text, and parses it itself."""

from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture(scope="session")
def json_loads() -> Callable[[str], Any]:
    """What the driver makes of JSON."""
    return str
