"""``fly-orm check``: checks a set-up, and says how to fix what is wrong."""

from __future__ import annotations

import argparse
import json
import logging
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager

from ..checking.report import Report
from ..checking.survey import check_setup
from ..deadline import Deadline
from ..errors import FlyOrmError
from ..findings.finding import Finding, Level, error
from ..routing.router import Router
from ..wrapping import router_of
from .arguments import seconds
from .loading import load, look_in_working_directory
from .output import show
from .tables import printable

NAME = "check"
HELP = "check the set-up, and say how to fix what is wrong"

#: Seconds that a check may take, unless the command says otherwise.
TIMEOUT = 15.0
_WIDTH = 120


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what to check, and how."""
    parser.add_argument(
        "database",
        nargs="*",
        metavar="MODULE:ATTRIBUTE",
        help="a wrapped database, such as shop.app:db; without one, only the settings and the nodes are checked",
    )
    add_options(parser)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare all but what to check."""
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    parser.add_argument("--no-write", dest="writes", action="store_false", help="do not try a write")
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=TIMEOUT,
        metavar="SECONDS",
        help=f"how long the check may take (default: {TIMEOUT:g})",
    )
    parser.epilog = "The exit status is 0 if nothing is wrong, 1 if there are warnings, and 2 if there are errors."


def run(options: argparse.Namespace) -> int:
    """Check, and print the findings. The exit status is the level of the worst: 0, 1 or 2."""
    with _silent_log():
        report = _report(options)
    show(json.dumps(report.as_json(), indent=2) if options.json else as_text(report))
    return int(report.level)


@contextmanager
def _silent_log() -> Iterator[None]:
    """A block that logs nothing: the findings say what the log would."""
    log = logging.getLogger("fly_orm")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(level)


def _report(options: argparse.Namespace) -> Report:
    try:
        look_in_working_directory()
        routers = [_router(name) for name in options.database]
        return check_setup(routers, Deadline.after(options.timeout), writes=options.writes)
    except FlyOrmError as problem:
        return Report(findings=[error("settings", str(problem), "Fix it, and run the check again")])
    except _Broken as broken:
        advice = "Import the module in Python to see the traceback. It must not connect to a database that is down"
        return Report(findings=[error("application", str(broken), advice)])


class _Broken(Exception):
    """The application's module raises an error when it is imported."""


def _router(name: str) -> Router:
    try:
        return router_of(load(name))
    except FlyOrmError:
        raise
    except Exception as problem:
        what = " ".join(str(problem).split())
        raise _Broken(f"{name} cannot be imported: {type(problem).__name__}: {what}") from problem


def as_text(report: Report) -> str:
    """The report as text. What matters most comes last, next to the prompt."""
    lines = [", ".join(f"{name} {version}" for name, version in report.versions.items())]
    lines += _settings(report)
    for level in Level:
        found = [finding for finding in report.findings if finding.level is level]
        if found:
            lines += ["", {Level.OK: "Fine", Level.WARNING: "Warnings", Level.ERROR: "Errors"}[level]]
            lines += [line for finding in found for line in _lines(finding)]
    return "\n".join(map(printable, [*lines, "", _summary(report)]))


def _settings(report: Report) -> list[str]:
    if not report.settings:
        return []
    name_width = max(len(each.name) for each in report.settings)
    value_width = min(max(len(each.value) for each in report.settings), 40)
    rows = [f"  {each.name:{name_width}}  {each.value:{value_width}}  {each.source}" for each in report.settings]
    return ["", "Settings", *rows]


def _lines(finding: Finding) -> list[str]:
    about = f"{finding.subject}: " if finding.subject else ""
    lines = _wrapped(f"{finding.topic:12}{about}{finding.message}", "  ", " " * 14)
    return lines + _wrapped(finding.advice, " " * 14 + "→ ", " " * 16)


def _wrapped(text: str, first: str, others: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=first, subsequent_indent=others, break_on_hyphens=False)


def _summary(report: Report) -> str:
    counts = {level: sum(finding.level is level for finding in report.findings) for level in Level}
    if report.level is Level.OK:
        return f"Nothing is wrong. Passed: {counts[Level.OK]}."
    return f"Errors: {counts[Level.ERROR]}. Warnings: {counts[Level.WARNING]}. Passed: {counts[Level.OK]}."
