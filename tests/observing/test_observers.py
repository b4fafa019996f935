"""Who hears what."""

from __future__ import annotations

import logging
import sys
import threading
from typing import Any

import pytest

import fly_orm
from fly_orm.observing import NodeReturned, NodeSetAside, Observer, RequestStarted, events, node_events
from fly_orm.observing.event import Event
from fly_orm.observing.listeners import KINDS, MAX_CONTEXT, Listeners, context_of, emit, listeners
from tests.support.one_table import open_transactions
from tests.support.two_regions import TwoRegions
from tests.support.waiting import until

ASIDE = NodeSetAside(node="syd=127.0.0.1:1", why="it does not answer")
RETURNED = NodeReturned(node="syd=127.0.0.1:1", seconds=1.5)
REQUEST = RequestStarted(id=1, kind="run", node="syd=127.0.0.1:1", database="shop")


class Keeping(Observer):
    """Keeps the events of nodes that were set aside."""

    def __init__(self) -> None:
        self.heard: list[Event] = []

    def node_set_aside(self, event: NodeSetAside) -> None:
        self.heard.append(event)


class Everything(Observer):
    """Keeps all events."""

    def __init__(self) -> None:
        self.heard: list[Event] = []

    def event(self, event: Event) -> None:
        self.heard.append(event)


def kinds() -> list[type[Event]]:
    return [
        value
        for module in (events, node_events)
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Event) and "heard_by" in vars(value)
    ]


def test_each_kind_of_event_has_a_method_and_a_place() -> None:
    assert sorted({kind.heard_by for kind in kinds()}) == sorted(KINDS)
    assert len(kinds()) == len(KINDS)
    assert set(KINDS) <= set(Listeners.__annotations__)
    assert {kind.__name__ for kind in kinds()} <= set(fly_orm.observing.__all__)


def test_an_observer_hears_what_it_has_a_method_for_until_it_ends() -> None:
    keeping = Keeping()
    with fly_orm.observe(keeping) as observation:
        assert listeners.node_set_aside
        assert not listeners.node_returned
        emit(ASIDE)
        emit(RETURNED)
    emit(ASIDE)
    observation.end()
    assert keeping.heard == [ASIDE]
    assert not listeners.node_set_aside


def test_one_that_hears_everything_hears_each_event_once() -> None:
    everything, keeping = Everything(), Keeping()
    with fly_orm.observe(everything), fly_orm.observe(keeping):
        emit(ASIDE)
        emit(RETURNED)
    assert (everything.heard, keeping.heard) == ([ASIDE, RETURNED], [ASIDE])


def test_an_observer_that_raises_is_logged_once_and_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Observer):
        def node_set_aside(self, event: NodeSetAside) -> None:
            raise RuntimeError("no disk")

    keeping = Keeping()
    with fly_orm.observe(Broken()), fly_orm.observe(keeping):
        emit(ASIDE)
        emit(ASIDE)
    assert len(keeping.heard) == 2
    (record,) = caplog.records
    assert "Broken.node_set_aside raised an exception" in record.message
    assert "no disk" in str(record.exc_info)


class Interrupting(Observer):
    """Raises an exception at each event."""

    def __init__(self, error: type[BaseException]) -> None:
        self._error = error

    def event(self, event: Event) -> None:
        raise self._error


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_is_passed_on_when_all_have_heard_the_event(error: type[BaseException]) -> None:
    keeping = Keeping()
    with fly_orm.observe(Interrupting(error)), fly_orm.observe(keeping):
        with pytest.raises(error):
            emit(ASIDE)
        with pytest.raises(error):
            context_of(REQUEST)
        with pytest.raises(error):
            emit(ASIDE)
    assert keeping.heard == [ASIDE, ASIDE]


def test_an_observer_that_exits_on_a_thread_of_a_node_ends_nothing(
    regions: TwoRegions, caplog: pytest.LogCaptureFixture
) -> None:
    """The observer hears the node alone: its threads, and the end of each lease."""
    regions.query("CREATE TABLE t (i int)")
    lax = regions.lax()
    with fly_orm.observe(ExitingOnNodes()):
        for number in range(3):
            with lax.atomic():
                lax.execute_sql("INSERT INTO t VALUES (%s)", (number,))
    assert regions.query("SELECT count(*) FROM t") == 3
    assert "ExitingOnNodes.request_executed raised an exception" in caplog.text
    until(lambda: open_transactions(regions) == 0)


class ExitingOnNodes(Observer):
    """Wants the program to end whenever the node has done something."""

    def request_executed(self, event: Event) -> None:
        sys.exit("no more")

    request_received = lease_opened = connection_lent = lease_ended = request_executed


def test_one_that_hears_everything_and_raises_is_logged_once_too(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Observer):
        def event(self, event: Event) -> None:
            raise RuntimeError("no disk")

    with fly_orm.observe(Broken()):
        for event in (ASIDE, RETURNED, ASIDE):
            emit(event)
    (record,) = caplog.records
    assert "Broken.event raised an exception" in record.message


def test_a_log_handler_that_raises_harms_nobody_either() -> None:
    class Broken(Observer):
        def node_set_aside(self, event: NodeSetAside) -> None:
            raise RuntimeError

    class Refusing(logging.Handler):
        def handle(self, record: logging.LogRecord) -> bool:
            raise OSError("no disk")

    handler = Refusing()
    logging.getLogger("fly_orm").addHandler(handler)
    try:
        with fly_orm.observe(Broken()):
            emit(ASIDE)
    finally:
        logging.getLogger("fly_orm").removeHandler(handler)


@pytest.mark.parametrize(
    ("observer", "message"),
    [
        (object(), "takes an instance of a subclass of fly_orm.Observer"),
        (Observer(), "defines none of the methods of fly_orm.Observer"),
    ],
)
def test_what_would_hear_nothing_is_refused(observer: Any, message: str) -> None:
    with pytest.raises(fly_orm.ConfigurationError, match=message):
        fly_orm.observe(observer)


def test_one_observer_observes_once() -> None:
    keeping = Keeping()
    with fly_orm.observe(keeping), pytest.raises(fly_orm.ConfigurationError, match="observes already"):
        fly_orm.observe(keeping)


def test_what_an_observer_causes_is_not_observed() -> None:
    class Causing(Keeping):
        def node_set_aside(self, event: NodeSetAside) -> None:
            super().node_set_aside(event)
            emit(event)

    causing = Causing()
    with fly_orm.observe(causing):
        emit(ASIDE)
    assert causing.heard == [ASIDE]


def test_observers_come_and_go_while_others_hear() -> None:
    everything = Everything()

    def come_and_go() -> None:
        for _ in range(200):
            with fly_orm.observe(Keeping()):
                emit(RETURNED)

    with fly_orm.observe(everything):
        threads = [threading.Thread(target=come_and_go) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(everything.heard) == 800


def returning(value: Any) -> Observer:
    class Carrying(Observer):
        def request_started(self, event: RequestStarted) -> Any:
            return value

    return Carrying()


def test_a_request_carries_what_its_observers_return() -> None:
    first, second = returning({"a": "1"}), returning({"b": "2"})
    with fly_orm.observe(first), fly_orm.observe(returning(None)), fly_orm.observe(second):
        assert context_of(REQUEST) == {"a": "1", "b": "2"}


@pytest.mark.parametrize("value", [{"a": "x" * MAX_CONTEXT}, {"a": 1}, {1: "a"}, {"a": b"b"}, "text", 5])
def test_what_cannot_travel_is_logged_and_left_behind(value: Any, caplog: pytest.LogCaptureFixture) -> None:
    with fly_orm.observe(returning(value)):
        assert context_of(REQUEST) == {}
    assert "does not travel" in caplog.text


def test_an_event_shows_its_fields_but_no_literals() -> None:
    event = fly_orm.observing.StatementStarted(id=1, database="shop", _text="SELECT 'secret'")
    assert repr(event) == "StatementStarted(id=1, database='shop', statements=1)"
    assert event.sql == "SELECT ?"
    assert event.command == "SELECT"
