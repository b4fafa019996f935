"""The checker finds each kind of violation in a history that has one, and none where there is none."""

from __future__ import annotations

from typing import Any

import pytest

from .checker import CLIENT_KILLED, check
from .history import (
    AnyEvent,
    Began,
    Call,
    Ended,
    Fault,
    Final,
    Journal,
    Left,
    Lost,
    Paused,
    Reading,
    Resumed,
    Sent,
    Took,
    read,
)
from .violations import Kind

KEY = 1
UNKNOWN = {"error": "OutcomeUnknown", "bases": ["OutcomeUnknown", "FlyOrmError"]}
REFUSED = {"error": "NotPrimary", "bases": ["NotPrimary", "Refused", "FlyOrmError"]}
DRIVER = {"error": "OperationalError", "bases": ["psycopg2.OperationalError", "psycopg2.Error"]}


class Story:
    """A history in the making, a second per event."""

    def __init__(self) -> None:
        self.events: list[AnyEvent] = []
        self._final = Final(at=1000.0, rows={})

    @property
    def now(self) -> float:
        return float(len(self.events))

    def tell(self, event: type, **facts: Any) -> Any:
        self.events.append(event(at=self.now, **facts))

    def begin(self, op: str, *, rows: int = 0, process: str = "p", **facts: Any) -> None:
        session = op.partition(".")[0]
        given = {"kind": "something", "orm": "peewee", "key": KEY, **facts}
        self.tell(Began, op=op, process=process, session=session, rows=rows, **given)

    def write(self, op: str, *, rows: int = 1, **ending: Any) -> None:
        self.begin(op, rows=rows)
        self.tell(Ended, op=op, **ending)

    def read(self, op: str, *, primary: bool = False, after: float = 0.0, looks_for: str = "", **shown: int) -> None:
        """A read, ``after`` so many seconds, that shows writes by the names of their sessions: ``a=1`` is of "a.1"."""
        began = self.now + after
        self.begin(op, looks_for=looks_for)
        seen = [Reading(began, primary, {f"{session}.1": rows for session, rows in shown.items()})]
        self.events.append(Ended(at=began + 1, op=op, seen=seen))

    def ends_with(self, *, written: float = 0.0, **rows: int) -> None:
        found = {f"{session}.1": number for session, number in rows.items()}
        self._final = Final(at=1000.0, rows=found, written=dict.fromkeys(found, written))

    def kinds(self) -> list[Kind]:
        return [violation.kind for violation in check([*self.events, self._final])]


@pytest.fixture
def story() -> Story:
    return Story()


@pytest.mark.parametrize(
    ("ending", "at_the_end", "found"),
    [
        ({}, 2, []),
        ({}, 0, [Kind.LOST]),
        ({}, 1, [Kind.HALF]),
        ({}, 3, [Kind.TWICE]),
        ({}, 4, [Kind.TWICE]),
        (REFUSED, 0, []),
        (REFUSED, 2, [Kind.DECLINED]),
        (UNKNOWN, 0, []),
        (UNKNOWN, 2, []),
        (UNKNOWN, 1, [Kind.HALF]),
        (UNKNOWN, 4, [Kind.TWICE]),
        ({"repeated": 1}, 4, [Kind.TWICE]),
        ({"looked": 1, "repeated": 1}, 2, []),
        ({"looked": 1, "repeated": 1}, 4, [Kind.LATE_WRITE]),
        ({**UNKNOWN, "committing": False}, 2, [Kind.DECLINED]),
        ({"undone": True, "committing": False}, 2, [Kind.DECLINED]),
        ({"undone": True, "committing": False}, 0, []),
        (DRIVER, 2, []),
        (DRIVER, 0, []),
        ({**DRIVER, "sqlstate": "57014"}, 0, []),
        ({**DRIVER, "sqlstate": "57014"}, 2, [Kind.DECLINED]),
        ({"error": "ResultLost", "bases": ["ResultLost", "FlyOrmError"]}, 0, [Kind.LOST]),
        ({"error": "AttributeError", "bases": ["builtins.AttributeError"]}, 0, [Kind.FOREIGN]),
    ],
)
def test_what_became_of_a_write(story: Story, ending: dict[str, Any], at_the_end: int, found: list[Kind]) -> None:
    story.write("a.1", rows=2, **ending)
    story.ends_with(**({"a": at_the_end} if at_the_end else {}))
    assert story.kinds() == found


def test_rows_that_nobody_wrote(story: Story) -> None:
    story.ends_with(a=1)
    assert story.kinds() == [Kind.STRANGE]


def test_a_failover_may_lose_an_acknowledged_write(story: Story) -> None:
    story.write("a.1")
    story.read("a.2", a=1)
    story.tell(Lost, since=story.now, rows={"a.1": 1})
    story.read("a.3")
    assert story.kinds() == []


@pytest.mark.parametrize(("since", "found"), [(5.0, [Kind.DECLINED]), (0.5, [])])
def test_what_was_declined_was_not_applied_before_a_failover_either(
    story: Story, since: float, found: list[Kind]
) -> None:
    """Unless the failover had lost it before that was said."""
    story.write("a.1", **REFUSED)
    story.tell(Lost, since=since, rows={"a.1": 1})
    assert story.kinds() == found


@pytest.mark.parametrize(
    ("settled_at", "looked_after", "found_then", "at_the_end", "kinds"),
    [
        (6.0, 6.0, 0, 0, []),
        (6.0, 6.0, 1, 1, []),
        (6.0, 6.0, 0, 1, [Kind.LATE_WRITE]),
        (6.0, 6.0, 1, 0, [Kind.LOST]),
        (6.0, 1.0, 0, 1, []),
        (None, 6.0, 0, 1, []),
    ],
)
def test_a_look_at_an_unknown_outcome_is_conclusive_once_it_is_settled(
    story: Story, settled_at: float | None, looked_after: float, found_then: int, at_the_end: int, kinds: list[Kind]
) -> None:
    story.write("a.1", settled_at=settled_at, **UNKNOWN)
    story.read("b.2", after=looked_after, primary=True, looks_for="a.1", **({"a": 1} if found_then else {}))
    story.ends_with(**({"a": 1} if at_the_end else {}))
    assert story.kinds() == kinds


@pytest.mark.parametrize(
    ("ending", "written", "found"),
    [
        ({"settled_at": 6.0, **UNKNOWN}, 6.0, []),
        ({"settled_at": 6.0, **UNKNOWN}, 6.2, [Kind.LATE_WRITE]),
        ({"settled_at": None, **UNKNOWN}, 60.0, []),
        ({"settled_at": 6.0, "looked": 1}, 60.0, [Kind.LATE_WRITE]),
        ({}, 60.0, []),
    ],
)
def test_a_write_of_unknown_outcome_is_not_written_once_that_is_settled(
    story: Story, ending: dict[str, Any], written: float, found: list[Kind]
) -> None:
    story.write("a.1", **ending)
    story.ends_with(a=1, written=written)
    assert story.kinds() == found


def test_a_write_that_was_looked_for_in_vain_and_then_lost_was_late(story: Story) -> None:
    story.write("a.1", settled_at=1.0, **UNKNOWN)
    story.read("b.2", after=1.0, primary=True, looks_for="a.1")
    story.tell(Lost, since=10.0, rows={"a.1": 1})
    assert story.kinds() == [Kind.LATE_WRITE]


def test_a_session_sees_its_own_writes(story: Story) -> None:
    story.write("a.1")
    story.ends_with(a=1)
    story.read("a.2", a=1)
    assert story.kinds() == []
    story.read("a.3")
    assert story.kinds() == [Kind.STALE]


def test_a_session_may_lack_the_writes_of_others(story: Story) -> None:
    story.write("a.1")
    story.ends_with(a=1)
    story.read("b.1")
    assert story.kinds() == []


def test_a_session_sees_what_it_has_read_before(story: Story) -> None:
    story.write("a.1")
    story.ends_with(a=1)
    story.read("b.1", a=1)
    story.read("b.2")
    assert story.kinds() == [Kind.STALE]


def test_a_session_sees_what_its_token_tells(story: Story) -> None:
    story.write("a.1")
    story.ends_with(a=1)
    story.tell(Sent, session="a", letter="x")
    story.tell(Resumed, session="b", letter="x")
    story.read("b.1")
    assert story.kinds() == [Kind.STALE]


def test_a_token_tells_nothing_of_what_came_later(story: Story) -> None:
    story.tell(Sent, session="a", letter="x")
    story.write("a.1")
    story.ends_with(a=1)
    story.tell(Resumed, session="b", letter="x")
    story.read("b.1")
    assert story.kinds() == []


def test_the_primary_may_lack_for_an_instant_what_only_a_replica_has_shown(story: Story) -> None:
    story.write("a.1")
    story.ends_with(a=1)
    story.read("b.1", a=1)
    story.events[-1] = Ended(at=story.now, op="b.1", seen=story.events[-1].seen)
    story.read("b.2", primary=True, after=-0.5)
    assert story.kinds() == []
    story.read("b.3", primary=True, after=3.0)
    assert story.kinds() == [Kind.STALE]


def test_nobody_sees_half_of_a_transaction(story: Story) -> None:
    story.write("a.1", rows=2)
    story.ends_with(a=2)
    story.read("b.1", a=1)
    assert story.kinds() == [Kind.HALF]


def test_nobody_sees_what_was_rolled_back(story: Story) -> None:
    story.write("a.1", rows=2, undone=True, committing=False)
    story.read("b.1", a=2)
    assert story.kinds() == [Kind.DECLINED]


@pytest.mark.parametrize(("since", "found"), [(1.0, []), (5.0, [Kind.DECLINED, Kind.DECLINED])])
def test_a_primary_that_was_superseded_may_show_what_is_lost(story: Story, since: float, found: list[Kind]) -> None:
    """As long as nobody was told before that it was not done."""
    story.write("a.1", **REFUSED)
    story.read("b.1", primary=True, a=1)
    story.tell(Lost, since=since, rows={"a.1": 1})
    assert story.kinds() == found


def test_a_transaction_sees_its_own_rows_as_it_inserts_them(story: Story) -> None:
    story.begin("a.1", rows=2)
    story.tell(Ended, op="a.1", seen=[Reading(0.5, True, {"a.1": 1})])
    story.ends_with(a=2)
    assert story.kinds() == []


@pytest.mark.parametrize(("seconds", "paused", "found"), [(4.9, 0, []), (5.1, 0, [Kind.LATE_CALL]), (5.1, 0.5, [])])
def test_a_call_ends_by_its_deadline(story: Story, seconds: float, paused: float, found: list[Kind]) -> None:
    story.begin("a.1")
    if paused:
        story.events.append(Paused(at=3.0, process="p", seconds=paused))
    story.events.append(Ended(at=9.0, op="a.1", calls=[Call("SELECT", 1.0, seconds, 4.0)]))
    assert story.kinds() == found


def test_a_pause_of_another_process_excuses_nothing(story: Story) -> None:
    story.begin("a.1")
    story.events.append(Paused(at=3.0, process="other", seconds=2.0))
    story.events.append(Ended(at=9.0, op="a.1", calls=[Call("SELECT", 1.0, 6.0, 4.0)]))
    assert story.kinds() == [Kind.LATE_CALL]


@pytest.mark.parametrize(
    ("region", "at", "found"), [("lax", 0.5, []), ("ams", 0.5, [Kind.LATE_CALL]), ("lax", -20.0, [Kind.LATE_CALL])]
)
def test_a_call_may_take_longer_where_a_server_has_begun_to_take_writes(
    story: Story, region: str, at: float, found: list[Kind]
) -> None:
    story.begin("a.1", process="lax-pyro5-1")
    story.events.insert(0, Took(at=at, region=region))
    story.events.append(Ended(at=9.0, op="a.1", calls=[Call("SELECT", 1.0, 6.0, 4.0)]))
    assert story.kinds() == found


def test_a_call_returns_unless_its_process_was_killed(story: Story) -> None:
    story.begin("a.1", process="p")
    assert story.kinds() == [Kind.HUNG]
    story.tell(Fault, kind=CLIENT_KILLED, target="p")
    assert story.kinds() == []


def test_nothing_is_left(story: Story) -> None:
    story.tell(Left, process="p", what="a thread")
    assert story.kinds() == [Kind.LEFT]


@pytest.mark.parametrize(
    ("recorded", "ending", "found"),
    [
        (True, UNKNOWN, [Kind.UNSETTLED]),
        (True, {}, []),
        (False, UNKNOWN, []),
        (True, DRIVER, []),
    ],
)
def test_a_ledger_settles_outcomes(story: Story, recorded: bool, ending: dict[str, Any], found: list[Kind]) -> None:
    story.begin("a.1", rows=1, recorded=recorded)
    story.tell(Ended, op="a.1", **ending)
    story.ends_with(a=1)
    assert story.kinds() == found


def test_journals_of_several_processes_make_one_history(tmp_path: Any) -> None:
    first, second = (Journal(tmp_path / f"{name}.jsonl") for name in "ab")
    told = [
        Began(at=1.0, op="a.1", process="a", session="a", kind="read", orm="Pony", key=1),
        Fault(at=2.0, kind="cut", target="lax"),
        Ended(at=3.0, op="a.1", seen=[Reading(1.5, True, {"b.1": 2})], calls=[Call("SELECT", 1.5, 0.5, 4.0)]),
    ]
    for journal, event in ((first, told[0]), (first, told[2]), (second, told[1])):
        journal.write(event)
    first.close()
    second.close()
    with (tmp_path / "b.jsonl").open("ab") as killed:
        killed.write(b'{"type":"Fau')
    assert read(tmp_path) == told
