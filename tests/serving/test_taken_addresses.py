"""Serving at an address that is taken: by a sibling, whose place this process takes later, or by something else."""

from __future__ import annotations

import logging
import socket
import threading
from contextlib import ExitStack, suppress

import peewee
import pytest

import fly_orm
from fly_orm import ConfigurationError
from fly_orm.serving import successor
from tests.support.nodes import node_process, url
from tests.support.ports import free_ports
from tests.support.two_regions import AMPLE, OTHER_SECRET, close, named, settings
from tests.support.waiting import until


@pytest.fixture
def served(regions, monkeypatch):
    """Serves the database at a free port, and closes what was served."""
    monkeypatch.setattr(successor, "ANSWER_TIMEOUT", 2 * AMPLE)
    with ExitStack() as undo:
        address = f"127.0.0.1:{free_ports(1)[0]}"

        def serve(region="syd", name=None, **options):
            changes = {key: options.pop(key) for key in ("secret",) if key in options}
            db = peewee.PostgresqlDatabase(**named(regions.cluster.primary, regions.name))
            fly_orm.wrap(db, settings=settings("syd"), name=name)
            undo.callback(close, db)
            serving = fly_orm.serve(db, listen=address, settings=settings(region, **changes), **options)
            undo.callback(serving.close)
            return serving

        yield serve


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(successor, "INTERVAL", 0.05)


def lines(caplog, text):
    return [record for record in caplog.records if text in record.getMessage()]


def write(regions, address):
    db = peewee.PostgresqlDatabase(**named(regions.cluster.replica, regions.name))
    fly_orm.wrap(db, settings=settings("lax", address))
    try:
        db.execute_sql("CREATE TABLE IF NOT EXISTS t (i int)")
        db.execute_sql("INSERT INTO t VALUES (1)")
    finally:
        close(db)


def test_the_second_process_of_an_application_takes_the_place_of_the_first(served, regions, quick, caplog):
    caplog.set_level(logging.INFO)
    first, second = served(), served()
    assert second.address == first.address
    write(regions, first.address)
    [line] = lines(caplog, "another process of this application serves at")
    assert line.levelno == logging.INFO
    first.close()
    until(lambda: len(lines(caplog, f"region, serves at {first.address}: ")) == 2)
    write(regions, second.address)
    assert regions.query("SELECT count(*) FROM t") == 2


@pytest.mark.parametrize("error", [OSError("Too many open files"), RuntimeError("can't start new thread")])
def test_what_stands_by_tries_again_when_it_could_not_listen(served, regions, quick, caplog, monkeypatch, error):
    def serve(*arguments):
        monkeypatch.undo()
        raise error

    first, second = served(), served()
    monkeypatch.setattr(second._server, "_listen", serve)
    monkeypatch.setattr(successor, "INTERVAL", 0.05)
    first.close()
    until(lambda: lines(caplog, f"cannot take over {first.address} yet: {error}. It is tried again"))
    until(lambda: reachable(first.address))
    write(regions, second.address)


def reachable(address):
    with suppress(ConnectionRefusedError), socket.create_connection(address.split(":")):
        return True
    return False


def test_what_stands_by_can_be_closed_before_it_serves(served, quick):
    first, second = served(), served()
    second.close()
    until(lambda: "fly_orm successor" not in {thread.name for thread in threading.enumerate()})
    first.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(first.address.split(":"))


def test_standing_by_can_be_refused(served):
    served()
    with pytest.raises(ConfigurationError, match=r"another node of this application serves at .* already"):
        served(stand_by=False)


@pytest.mark.parametrize(
    ("other", "complaint"),
    [
        ({"secret": OTHER_SECRET}, "a node with another FLY_ORM_SECRET serves at"),
        ({"region": "lax"}, "and this one is to serve .* in 'lax'"),
        ({"name": "other"}, "and this one is to serve other in 'syd'"),
    ],
)
def test_a_node_that_does_something_else_is_an_error(served, other, complaint):
    served()
    with pytest.raises(ConfigurationError, match=complaint):
        served(**other)


@pytest.mark.parametrize("accepts", [True, False])
def test_another_program_is_an_error(regions, served, accepts, monkeypatch):
    monkeypatch.setattr(successor, "ANSWER_TIMEOUT", 0.5)
    db = fly_orm.wrap(regions.plain(), settings=settings("syd"))
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        if accepts:
            other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(ConfigurationError, match="What listens there is not a node of this application"):
            fly_orm.serve(db, listen=address, settings=settings("syd"))


def test_nobody_is_asked_at_an_address_of_another_machine(regions):
    db = fly_orm.wrap(regions.plain(), settings=settings("syd"))
    with pytest.raises(ConfigurationError, match="Cannot assign requested address"):
        fly_orm.serve(db, listen="192.0.2.1:7654", settings=settings("syd"))  # for documentation, RFC 5737


@pytest.mark.slow
def test_a_second_node_of_the_command_line_is_refused(regions):
    address = f"127.0.0.1:{free_ports(1)[0]}"
    variables = {"FLY_ORM_LISTEN": address, "DATABASE_URL": url(regions.cluster.primary, regions.name)}
    with node_process("tests.support.gunicorn_app:db", **variables) as first:
        assert first.address() == address
        with node_process("tests.support.gunicorn_app:db", **variables) as second:
            _, err = second.process.communicate(timeout=60)
    assert second.process.returncode == 2
    assert f"another node of this application serves at {address} already" in err
