"""``fly-orm secret``: prints a new secret for ``FLY_ORM_SECRET``."""

from __future__ import annotations

import argparse
import secrets

from .output import show

NAME = "secret"
HELP = "print a new random secret for FLY_ORM_SECRET"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare no options."""


def run(options: argparse.Namespace) -> int:
    """Print a secret of 256 random bits."""
    show(secrets.token_urlsafe(32))
    return 0
