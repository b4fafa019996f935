"""Runs a suite in this process and prints the outcomes, as a line of JSON.

    python -m tests.conformance.suite SUITE plain|HOW WAIT ADDRESS ENOUGH

The environment names the database. The arguments say how to wrap those that the suite makes of it, where the node in
syd is, and after how many failures to stop (0: never).
"""

from __future__ import annotations

import faulthandler
import json
import os
import sys
import tempfile
from contextlib import redirect_stdout
from pathlib import Path

import fly_orm
from tests.support.two_regions import settings

from .parent import end_with_parent
from .result import NotingResult
from .suites import SUITES

#: Seconds after which a run that hangs says where, and ends.
TIME_LIMIT = 3600.0


def main() -> None:
    """Run the suite."""
    name, how, wait, address, enough = sys.argv[1:]
    faulthandler.dump_traceback_later(TIME_LIMIT, exit=True)
    end_with_parent()
    module = SUITES[name].module
    if how != "plain":
        fly_orm.configure(settings("lax", address))
        module.wrap_all(how, {"wait": wait})
    result = NotingResult(int(enough))
    with (
        tempfile.TemporaryDirectory() as folder,
        Path(os.devnull).open("w") as nowhere,
        redirect_stdout(nowhere),
    ):
        os.chdir(folder)  # peewee's tests also make databases of SQLite
        module.tests(SUITES[name].variant).run(result)
    print(
        json.dumps({"ran": result.testsRun, "outcomes": result.outcomes, "complaints": result.complaints}), flush=True
    )


if __name__ == "__main__":
    main()
