"""Two regions that know nothing of each other but where NATS is: nodes in ``syd``, and this process in ``lax``."""

import os
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path

import peewee
from tools import SECRET

import fly_orm
from fly_orm.settings import Settings
from fly_orm.topology import Topology

HERE = Path(__file__).parent
#: What a node is told, besides NATS_URL.
ENVIRONMENT = {
    "PRIMARY_REGION": "syd",
    "FLY_REGION": "syd",
    "FLY_APP_NAME": "shop",
    "FLY_ORM_TRANSPORT": "nats",
    "FLY_ORM_DISCOVERY": "nats",
    "FLY_ORM_SECRET": SECRET,
}


def settings(region, **changes):
    """The settings of a process in a region."""
    given = {"app": "shop", "transport": "nats", "discovery": "nats", "secret": SECRET, **changes}
    return Settings(topology=Topology(region=region, primary_region="syd"), **given)


class Regions:
    def __init__(self, cluster, name, undo):
        self.cluster, self.name, self._undo = cluster, name, undo

    @property
    def url(self):
        """The address of the database on the primary."""
        return f"postgresql://postgres@/{self.name}?host={self.cluster.primary.host}&port={self.cluster.primary.port}"

    def node(self):
        """A process that serves in syd; configured by the environment alone."""
        process = subprocess.Popen(
            [sys.executable, "-m", "fly_orm", "serve", "node_app:db"],
            cwd=HERE,
            env={**os.environ, **ENVIRONMENT, "APP_URL": self.url},
            stdout=subprocess.PIPE,
            text=True,
        )
        self._undo.callback(process.communicate)
        self._undo.callback(process.kill)
        process.line = process.stdout.readline().strip()
        return process

    def serving(self):
        """A node of syd in this process."""
        given = dict(self.cluster.primary.params(self.name))
        database = peewee.PostgresqlDatabase(given.pop("dbname"), **given)
        fly_orm.wrap(database, settings=settings("syd"))
        return self._undo.enter_context(fly_orm.serve(database, listen="nats:shop.syd", settings=settings("syd")))

    def lax(self, **changes):
        """A wrapped database on the replica."""
        given = dict(self.cluster.replica.params(self.name))
        database = peewee.PostgresqlDatabase(given.pop("dbname"), **given)
        fly_orm.wrap(database, settings=settings("lax", **changes))
        self._undo.callback(database._fly_orm.close)
        self._undo.callback(database.close)
        return database

    def query(self, sql):
        """The first column of the first row that the primary returns."""
        with self.cluster.primary.connect(self.name) as connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchone()[0] if cursor.description else None


@contextmanager
def two_regions(cluster, name):
    with ExitStack() as undo:
        yield Regions(cluster, name, undo)
