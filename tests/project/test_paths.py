"""The code takes the paths that docs/architecture.md describes: it calls the functions of each step, in this order."""

from __future__ import annotations

import re
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import peewee
import pytest
from pony import orm

import fly_orm
from tests.project.test_pages import ARCHITECTURE, found
from tests.support import ROOT
from tests.support.pony_regions import pony_in_lax

_FUNCTION = re.compile(r"`([\w./-]+\.py):(?:[A-Z]\w*\.)?([a-z_]\w*)`")


def described(heading):
    """The functions that the numbered steps of a section name, each as its file and its name."""
    section = ARCHITECTURE.read_text().split(f"## {heading}\n")[1].split("\n## ")[0]
    steps = "\n".join(re.findall(r"^(?:\d+\.|  ) .*", section, re.MULTILINE))
    return [(str(found(path).relative_to(ROOT)), name) for path, name in _FUNCTION.findall(steps)]


@contextmanager
def recorded():
    """A list of all functions of this repository that are called in the block, by whatever thread, in order."""
    calls = []

    def record(frame, event, _argument):
        file = frame.f_code.co_filename
        if event == "call" and file.startswith(str(ROOT)):
            calls.append((str(Path(file).relative_to(ROOT)), frame.f_code.co_name))

    before = sys.getprofile()
    threading.setprofile(record)
    sys.setprofile(record)
    try:
        yield calls
    finally:
        sys.setprofile(before)
        threading.setprofile(None)


@pytest.fixture
def calls():
    """All calls from here on. Ask for it before ``regions``: it sees only threads that start later."""
    with recorded() as calls:
        yield calls


def assert_taken(heading, calls):
    """Every step of the section was taken, after the ones before it."""
    steps, taken = described(heading), iter(calls)
    assert steps
    missing = next((step for step in steps if step not in taken), None)
    assert missing is None, f"{missing} is not called at this point"


def test_a_write(calls, regions):
    regions.query("CREATE TABLE users (id serial PRIMARY KEY, name text)")
    regions.cluster.wait_for_replica()
    user = type(
        "User", (peewee.Model,), {"name": peewee.TextField(), "Meta": type("Meta", (), {"table_name": "users"})}
    )
    user.bind(regions.lax())
    del calls[:]
    user.create(name="ann")
    assert_taken("The path of a write", calls)


def test_a_commit_with_pony(calls, regions):
    regions.query("CREATE TABLE users (id serial PRIMARY KEY, name text)")
    regions.cluster.wait_for_replica()
    with pony_in_lax(regions) as db:
        user = type("User", (db.Entity,), {"_table_": "users", "name": orm.Required(str)})
        db.generate_mapping()
        del calls[:]
        with orm.db_session:
            assert user.get() is None
            user(name="ann")
        with orm.db_session:
            db.execute("SET TIME ZONE 'UTC'")
        assert_taken("The path of a Pony commit", calls)


databases = {}


@fly_orm.on_primary
def add_user(name):
    databases["syd"].execute_sql("INSERT INTO users (name) VALUES (%s)", (name,))


def test_a_call(calls, regions):
    regions.query("CREATE TABLE users (id serial PRIMARY KEY, name text)")
    regions.cluster.wait_for_replica()
    databases.update(syd=regions.syd(), lax=regions.lax())
    fly_orm.configure(regions.lax_settings())
    del calls[:]
    add_user("ann")
    databases.clear()
    assert_taken("The path of an `@on_primary` call", calls)
