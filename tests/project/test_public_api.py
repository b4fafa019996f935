"""What a user may import."""

from __future__ import annotations

import subprocess
import sys
import types

import fly_orm


def test_the_public_names_are_sorted_and_all_that_the_package_defines():
    submodules = {name for name, value in vars(fly_orm).items() if isinstance(value, types.ModuleType)}
    names = {name for name in vars(fly_orm) if not name.startswith("_")} - submodules
    assert set(fly_orm.__all__) == names
    assert fly_orm.__all__ == sorted(fly_orm.__all__, key=lambda name: (not name.isupper(), name))


def test_every_public_name_is_there_and_documented():
    for name in fly_orm.__all__:
        assert getattr(fly_orm, name).__doc__, name


def test_importing_imports_no_orm_no_transport_and_starts_nothing():
    code = (
        "import sys, threading, fly_orm;"
        "print(sorted({'peewee', 'pony', 'Pyro5', 'fly_orm_transports'} & set(sys.modules)), threading.active_count())"
    )
    shown = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.split() == ["[]", "1"]
