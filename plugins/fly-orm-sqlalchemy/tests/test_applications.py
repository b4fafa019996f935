"""Applications: the example with its tests, Flask-SQLAlchemy, and Alembic."""

from __future__ import annotations

import subprocess
import sys

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Column, Integer, Text, engine_from_config, inspect
from sqlalchemy_regions import LOCAL, served

import fly_orm
from tests.support import ROOT
from tests.support.nodes import plain_environment, url

EXAMPLE = ROOT / "examples" / "guestbook_sqlalchemy"


@pytest.mark.slow
def test_the_example_passes_its_tests_with_the_plug_in_for_pytest():
    environment = {name: value for name, value in plain_environment().items() if not name.startswith("PYTEST_")}
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=EXAMPLE,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert (ran.returncode, "11 passed" in ran.stdout) == (0, True), ran.stdout + ran.stderr


def test_alembic_migrates_from_a_secondary_region(regions):
    fly_orm.configure(regions.lax_settings())
    address = f"{url(regions.cluster.replica, regions.name)}&plugin=fly_orm"
    engine = regions.close_later(engine_from_config({"sqlalchemy.url": address}))
    with engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert context.get_current_revision() is None
        with context.begin_transaction():
            Operations(context).create_table("note", Column("id", Integer, primary_key=True), Column("text", Text))
        connection.commit()
        assert inspect(connection).has_table("note")
        assert served(connection, "SELECT pg_is_in_recovery()") == ([(True,)], LOCAL)
    assert regions.query("SELECT count(*) FROM note") == 0
