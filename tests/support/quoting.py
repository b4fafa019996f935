"""The rules by which a server reads text in quotes, where it has a choice of them."""

from __future__ import annotations

from typing import Any

import pytest


def skip_without_choice(cursor: Any) -> None:
    """Skip the test if the server refuses to turn ``standard_conforming_strings`` off."""
    if cursor.connection.server_version >= 19_00_00:
        pytest.skip("PostgreSQL 19 has only standard strings")
