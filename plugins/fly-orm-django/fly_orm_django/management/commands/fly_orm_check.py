"""``manage.py fly_orm_check``: checks a set-up."""

from __future__ import annotations

from fly_orm.cli import check

from ..cli_command import CliCommand


class Command(CliCommand):
    """``fly-orm check`` for the databases of the project."""

    help = "Check the set-up of fly_orm, and say how to fix what is wrong."
    command = check
