"""``python -m fly_orm.testing``: two regions for trying things out, until Ctrl-C."""

from __future__ import annotations

import argparse
import math
import shlex
import signal
import sys
from contextlib import suppress

from fly_orm.errors import ConfigurationError

from .two_regions import LAX, SYD, TwoRegions

_HELP = """Keeps a primary with replicas, a node, and a network between them running until Ctrl-C, and prints the
variables of processes in both regions. All data is gone afterwards."""


def main() -> int:
    """Run it, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m fly_orm.testing", description=_HELP)
    parser.add_argument(
        "database", nargs="*", metavar="MODULE:ATTRIBUTE", help="what the node serves, such as shop.app:db"
    )
    parser.add_argument(
        "--rtt", type=_seconds, default=0.08, metavar="SECONDS", help="between the regions (default: 0.08)"
    )
    parser.add_argument(
        "--replicas", type=_replicas, default=1, metavar="N", help="in the secondary region (default: 1)"
    )
    parser.add_argument("--variable", default="DATABASE_URL", metavar="NAME", help="for the URL of the database")
    options = parser.parse_args()
    databases, where = options.database, {"rtt": options.rtt, "replicas": options.replicas}
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
            signal.signal(number, signal.default_int_handler)
    try:
        with TwoRegions(*databases, variable=options.variable, **where) as both:
            for region in (SYD, LAX):
                print(f"# a process in {region}", *_exports(both.environment(region)), sep="\n", flush=True)
            signal.pause()
    except KeyboardInterrupt:
        return 0
    except (ConfigurationError, RuntimeError) as error:  # RuntimeError if a server or the node does not start
        print(error, file=sys.stderr)
        return 2
    return 0


def _seconds(text: str) -> float:
    with suppress(ValueError):
        if 0 <= float(text) < math.inf:
            return float(text)
    raise argparse.ArgumentTypeError(f"0 or more seconds, not {text}")


def _replicas(text: str) -> int:
    with suppress(ValueError):
        if int(text) > 0:
            return int(text)
    raise argparse.ArgumentTypeError(f"1 or more, not {text}")


def _exports(variables: dict[str, str]) -> list[str]:
    return [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]


if __name__ == "__main__":
    sys.exit(main())
