"""Runs the ``fly-orm`` command, as ``python -m fly_orm``."""

from .cli import main

raise SystemExit(main())
