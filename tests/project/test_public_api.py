"""What a user may import."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import fly_orm


def test_the_public_names_are_sorted():
    assert fly_orm.__all__ == sorted(fly_orm.__all__, key=lambda name: (not name.isupper(), name))


def test_type_checkers_see_the_names_that_are_imported_on_first_use():
    checked = {
        node.module: tuple(name.name for name in node.names)
        for block in ast.parse(Path(fly_orm.__file__).read_text()).body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
    }
    assert checked == fly_orm._DEFINED
    assert {name for names in checked.values() for name in names} == set(fly_orm.__all__)


def test_every_public_name_is_there_and_documented():
    for name in fly_orm.__all__:
        assert getattr(fly_orm, name).__doc__, name
    assert set(fly_orm.__all__) <= set(dir(fly_orm))
    with pytest.raises(AttributeError, match="has no attribute 'warp'"):
        _ = fly_orm.warp


def loaded(code: str) -> set[str]:
    """The modules of a new process that has run some code; their packages, except for fly_orm's own."""
    shown = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"{code}; import sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        env={"PRIMARY_REGION": "syd", "FLY_REGION": "syd"},
    )
    return set(shown.stdout.split())


def test_importing_imports_no_orm_no_driver_and_none_of_the_parts():
    found = loaded("import fly_orm")
    assert not {"peewee", "pony", "psycopg2", "msgspec", "entrypoints", "dataclasses"} & found
    assert {name for name in found if name.startswith("fly_orm.")} == {"fly_orm.findings", "fly_orm.findings.version"}


def test_wrapping_in_the_primary_region_imports_nothing_that_nodes_and_functions_need():
    found = loaded("import fly_orm, peewee; fly_orm.wrap(peewee.PostgresqlDatabase('shop'))") - loaded("import peewee")
    assert not {"Pyro5", "asyncio", "cryptography", "dns", "email", "itsdangerous", "pony", "ssl"} & found
    parts = ("cli", "functions", "protocol.tls", "serving", "testing", "tokens", "web")
    assert not {name for name in found if name.startswith(tuple(f"fly_orm.{part}" for part in parts))}
    assert "fly_orm_transports" not in found


def test_importing_starts_nothing():
    shown = subprocess.run(
        [
            sys.executable,
            "-W",
            "error",
            "-c",
            "import threading; from fly_orm import *; print(threading.active_count())",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.split() == ["1"]
