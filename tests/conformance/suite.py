"""Runs Pony's suite in this process and prints the outcomes, as a line of JSON.

    python -m tests.conformance.suite plain|before|after WAIT ADDRESS

The environment names the database, and the arguments say how to wrap those that the suite makes of it, and where the
node in syd is.
"""

from __future__ import annotations

import faulthandler
import functools
import json
import os
import sys
import unittest
from contextlib import redirect_stdout
from pathlib import Path

import pony

import fly_orm
from tests.support.two_regions import settings

from .parent import end_with_parent
from .result import NotingResult
from .wrapping import WAYS

#: Seconds after which a run that hangs says where, and ends.
TIME_LIMIT = 900.0


def main() -> None:
    """Run the suite."""
    how, wait, address = sys.argv[1:]
    faulthandler.dump_traceback_later(TIME_LIMIT, exit=True)
    end_with_parent()
    if how in WAYS:
        fly_orm.configure(settings("lax", address))
        WAYS[how](functools.partial(fly_orm.wrap, wait=wait))
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
        result = run()
    print(
        json.dumps({"ran": result.testsRun, "outcomes": result.outcomes, "complaints": result.complaints}), flush=True
    )


def run() -> NotingResult:
    """What became of Pony's tests."""
    packages = Path(pony.__file__).parents[1]
    tests = unittest.defaultTestLoader.discover(str(packages / "pony/orm/tests"), top_level_dir=str(packages))
    result = NotingResult()
    tests.run(result)
    return result


if __name__ == "__main__":
    main()
