"""A forked process lets go of what it inherits, and leaves its parent's connections alone."""

from __future__ import annotations

import gc
import threading
from contextlib import contextmanager
from weakref import ref

from fly_orm.concurrency import forks
from fly_orm.runtime import runtime as module
from fly_orm.runtime.runtime import Runtime, default_runtime, forget
from fly_orm.testing.contract.tools import in_child
from fly_orm.transport import abandon_in_children
from tests.support.two_regions import settings
from tests.support.waiting import PATIENCE


class Thing:
    """Counts how often it is abandoned."""

    def __init__(self, *, register_again=False):
        self.abandoned = 0
        self.register_again = register_again
        abandon_in_children(self)

    def abandon(self):
        self.abandoned += 1
        if self.register_again:
            abandon_in_children(self)


@contextmanager
def held(lock):
    """A block during which another thread holds the lock."""
    acquired, release = threading.Event(), threading.Event()

    def hold():
        with lock:
            acquired.set()
            release.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    assert acquired.wait(10)
    try:
        yield
    finally:
        release.set()
        thread.join()


def test_a_thing_is_abandoned_in_each_child_and_not_in_the_parent():
    thing = Thing()

    def child():
        assert thing.abandoned == 1

    in_child(child)
    in_child(child)
    assert thing.abandoned == 0


def test_a_thing_is_abandoned_in_a_childs_child_only_if_it_was_registered_there():
    once, always = Thing(), Thing(register_again=True)

    def grandchild():
        assert (once.abandoned, always.abandoned) == (1, 2)

    in_child(lambda: in_child(grandchild))


def test_registering_a_thing_does_not_keep_it_alive():
    before = len(forks._registered)
    thing = Thing()
    assert len(forks._registered) == before + 1
    del thing
    gc.collect()
    assert len(forks._registered) <= before


def test_a_child_gets_channels_of_its_own_and_so_does_its_child():
    runtime = Runtime(settings("lax", transport="inprocess"))
    inherited = [runtime.forwarder]

    def child():
        assert runtime.forwarder not in inherited
        inherited.append(runtime.forwarder)
        assert runtime.forwarder is inherited[-1]
        if len(inherited) < 3:
            in_child(child)

    in_child(child)
    assert inherited == [runtime.forwarder]
    runtime.close()


def test_a_lock_that_was_held_during_the_fork_does_not_block_the_child():
    runtime = default_runtime()
    try:
        with held(module._default._lock), held(runtime._lock):
            in_child(lambda: default_runtime().forwarder, timeout=5)
    finally:
        forget()


def test_a_child_that_frees_what_it_inherits_leaves_the_parents_connections_to_the_replica_open(regions, monkeypatch):
    monkeypatch.setattr("fly_orm.concurrency.patience.SHORTEST", PATIENCE)  # a busy machine takes long to fork
    db = regions.lax()
    db.execute_sql("CREATE TABLE t (i int)")
    db.execute_sql("INSERT INTO t VALUES (1)")  # waits for the replica, over a connection that is kept
    backends = "SELECT array_agg(pid ORDER BY pid) FROM pg_stat_activity WHERE datname = current_database()"
    before = db.execute_sql(backends).fetchone()
    waiting = ref(db._fly_orm.local)

    def child():
        gc.collect()
        assert waiting() is None, "the child was to free it"

    in_child(child)
    db.execute_sql("INSERT INTO t VALUES (2)")
    assert db.execute_sql(backends).fetchone() == before
    assert db.execute_sql("SELECT count(*) FROM t").fetchone() == (2,)
