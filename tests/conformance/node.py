"""The node in syd: serves the databases of a suite until its process is ended."""

from __future__ import annotations

import json
import os
import sys
import threading

import fly_orm
from tests.support.two_regions import settings

from .parent import end_with_parent
from .suites import SUITES


def main() -> None:
    """Serve, and say where."""
    end_with_parent()
    here = settings("syd")
    made = SUITES[sys.argv[1]].module.databases(json.loads(os.environ["CONFORMANCE_DATABASE"]))
    databases = [fly_orm.wrap(each, settings=here) for each in made]
    with fly_orm.serve(*databases, listen="127.0.0.1:0", settings=here) as serving:
        print(serving.address, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
