"""``fly-orm transports``: lists the installed transports, and says which cannot be used."""

from __future__ import annotations

import argparse

from ..registry import TRANSPORTS, registry, survey_transports
from ..settings import Settings
from .output import show
from .tables import table

NAME = "transports"
HELP = "list the installed transports, and why some cannot be used"

_HEADER = ("NAME", "DISTRIBUTION", "VERSION", "OBJECT", "STATUS")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare no options."""


def run(options: argparse.Namespace) -> int:
    """Print the installed transports. The exit status is 1 if one of them cannot be used.

    ConfigurationError if the one that the settings select is not installed.
    """
    settings = Settings.from_environment()
    survey = survey_transports(settings)
    rows = []
    for plugin, problem in survey:
        selected = ", selected" if plugin.name == settings.transport else ""
        status = " ".join(f"{problem or 'ok'}{selected}".split())
        rows.append((plugin.name, plugin.distribution, plugin.version, plugin.target, status))
    show(table([_HEADER, *rows]))
    if settings.transport not in {plugin.name for plugin, _ in survey}:
        registry(TRANSPORTS).load(settings.transport)  # raises the error that lists those there are
    return int(any(problem is not None for _, problem in survey))
