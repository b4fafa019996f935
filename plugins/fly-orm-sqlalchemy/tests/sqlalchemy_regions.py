"""Engines in two regions."""

from __future__ import annotations

import threading
from typing import Any

from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session
from sqlalchemy_models import Base, Item

import fly_orm
from fly_orm.adapters.base import load_adapter
from tests.support.nodes import url
from tests.support.two_regions import settings

LOCAL, PRIMARY = fly_orm.Route.LOCAL, fly_orm.Route.PRIMARY


class EngineRegions:
    """The engines of a test, and the regions that they are in."""

    def __init__(self, both: Any) -> None:
        self.both = both
        self.cluster, self.name, self.query = both.cluster, both.name, both.query
        self._engines: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.both, name)

    def unwrapped(self, server: Any = None, **options: Any) -> Any:
        """An engine on a server, by default the replica."""
        address = url(server or self.cluster.replica, self.name).replace("postgresql:", "postgresql+psycopg2:")
        return self.close_later(create_engine(address, **options))

    def lax(self, *, server: Any = None, wrap: Any = (), **options: Any) -> Any:
        """A wrapped engine on the replica; ``wrap`` are options of wrap(), the others those of create_engine()."""
        given = {"settings": self.both.lax_settings(), **dict(wrap)}
        return fly_orm.wrap(self.unwrapped(server, **options), **given)

    def syd(self, *, wrap: Any = (), **options: Any) -> Any:
        """A wrapped engine on the primary."""
        return self.lax(server=self.cluster.primary, wrap={"settings": settings("syd"), **dict(wrap)}, **options)

    def close_later(self, engine: Any) -> Any:
        """The same engine, which is closed when the test ends."""
        self._engines.append(engine)
        return engine

    def create_tables(self) -> None:
        """Create the tables of the models, which the replica shows, too."""
        Base.metadata.create_all(self.unwrapped(self.cluster.primary))
        self.cluster.wait_for_replica()

    def close(self) -> None:
        """Close all that the engines have open."""
        for thread in threading.enumerate():
            if thread.name == "fly_orm channel opener":
                thread.join()  # or it would connect to a network that is being closed
        for engine in self._engines:
            router = router_of(engine)
            engine.dispose()
            if router is not None:
                router.close()


def router_of(engine: Any) -> Any:
    """The router of a wrapped engine."""
    return load_adapter("sqlalchemy").router_of(engine)


def served(connection: Any, sql: str, **parameters: Any) -> tuple[list[Any], Any]:
    """The rows of a statement, if there are any, and where it ran. ``connection`` may also be a Session."""
    result = connection.execute(text(sql), parameters)
    rows = [tuple(row) for row in result] if result.returns_rows else []
    why = fly_orm.why()
    return rows, why and why.route


def fill(engine: Any, count: int) -> None:
    """Add so many items, named by their numbers."""
    with Session(engine) as session, session.begin():
        session.add_all([Item(name=f"{number}") for number in range(1, count + 1)])
