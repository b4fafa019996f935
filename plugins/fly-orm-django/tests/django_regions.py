"""What the tests share: this process as a Django project, led to one region or the other, and processes of others."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "django_shop.settings"
django.setup()
del os.environ["DJANGO_SETTINGS_MODULE"]  # other processes are told themselves

from django.db import connections  # noqa: E402
from django_shop import models  # noqa: E402
from fly_orm_django import shared  # noqa: E402

import fly_orm  # noqa: E402
from fly_orm.routing import router  # noqa: E402
from tests.support import ROOT  # noqa: E402
from tests.support import two_regions as support  # noqa: E402
from tests.support.nodes import environment_in  # noqa: E402
from tests.support.two_regions import Regions, settings  # noqa: E402

FOLDER = Path(__file__).parent


@contextmanager
def leading(alias: str, server: Any, name: str, **changes: Any) -> Iterator[None]:
    """A block in which an alias leads to a database on a server, and has other settings besides."""
    given = connections.settings[alias]
    before = dict(given)
    forget(alias)
    given.update({"NAME": name, "HOST": server.host, "PORT": server.port, **changes})
    try:
        yield
    finally:
        forget(alias)
        given.clear()
        given.update(before)


def forget(alias: str) -> None:
    """Close the connection of an alias. The next one may have another ENGINE."""
    connections[alias].close()
    del connections[alias]


@contextmanager
def made_tables(cluster: Any, name: str) -> Iterator[str]:
    """A block in which an empty database has the tables of the project, and the alias ``primary`` leads to it."""
    with leading("primary", cluster.primary, name):
        with connections["primary"].schema_editor() as editor:
            for model in models.ALL:
                editor.create_model(model)
        cluster.wait_for_replica()
        yield name


@contextmanager
def in_lax(both: Regions, address: str, **changes: Any) -> Iterator[None]:
    """A block in which this process is in lax, and knows a node in syd."""
    with _in_region(settings("lax", address), both.cluster.replica, both.name, changes):
        yield


@contextmanager
def in_syd(cluster: Any, name: str, **changes: Any) -> Iterator[None]:
    """A block in which this process is in the primary region."""
    with _in_region(settings("syd"), cluster.primary, name, changes):
        yield


@contextmanager
def _in_region(configured: Any, server: Any, name: str, changes: dict[str, Any]) -> Iterator[None]:
    gc.collect()  # a function could belong to what is left of a database of another test
    with ExitStack() as undo:
        undo.callback(shared.retire_all)
        undo.enter_context(leading("default", server, name, **changes))
        fly_orm.configure(configured)
        connections["default"].shared  # noqa: B018  # as when the project starts
        yield


@contextmanager
def alone() -> Iterator[None]:
    """A block in which this process knows no database from before: something may refer to those of other tests."""
    others = router.routers()
    router._routers.difference_update(others)
    try:
        yield
    finally:
        router._routers.update(others)


class ManageProcess:
    """A command of ``manage.py`` in a process of its own, in syd unless the variables say otherwise."""

    def __init__(self, *arguments: str, **variables: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "django", *arguments],
            cwd=FOLDER,
            env={
                **environment_in("syd"),
                **support.way.variables(),
                "DJANGO_SETTINGS_MODULE": "django_shop.settings",
                "PYTHONPATH": f"{FOLDER}{os.pathsep}{ROOT}",
                **variables,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def address(self) -> str:
        """Where it serves, once it does."""
        line = self.process.stdout.readline()
        assert line.startswith("fly-orm: serving"), self.process.stderr.read()
        return line.split()[-1]

    def kill(self) -> str:
        """End it; what it has said."""
        self.process.kill()
        return self.process.communicate()[1]


def said(*arguments: str, **variables: str) -> tuple[int, str, str]:
    """The exit status of a command, and what it has printed."""
    command = ManageProcess(*arguments, **variables)
    out, err = command.process.communicate(timeout=120)
    return command.process.returncode, out, err


def address(server: Any, name: str) -> str:
    """A database on a server, as the settings of the project read it."""
    return json.dumps({"NAME": name, "HOST": server.host, "PORT": server.port})


@contextmanager
def project_node(cluster: Any, name: str, *arguments: str, **variables: str) -> Iterator[ManageProcess]:
    """``manage.py fly_orm_serve`` in syd, in a process of its own."""
    node = ManageProcess("fly_orm_serve", *arguments, SHOP_DATABASE=address(cluster.primary, name), **variables)
    try:
        yield node
    finally:
        node.kill()
