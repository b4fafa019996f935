"""Somebody looks whether a commit was sent, unless a later one was."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from fly_orm.lsn import LSN
from fly_orm.postgres.unsent_commit import UnsentCommit


def wal(to_send: int | None = None, sent: int = 0) -> Any:
    """What a connection has learnt of its last commit."""
    return SimpleNamespace(to_send=None if to_send is None else LSN(to_send), sent=LSN(sent))


def test_a_commit_that_may_not_have_been_sent_is_looked_at_once() -> None:
    unsent = UnsentCommit()
    assert unsent.note(wal(5))
    assert not unsent.note(wal(7))
    assert unsent.begin_look(LSN(7))
    assert unsent.take() == 7
    assert not unsent.note(wal())


def test_one_that_was_sent_with_a_later_one_is_not() -> None:
    unsent = UnsentCommit()
    unsent.note(wal(5))
    unsent.note(wal(sent=6))
    assert not unsent.begin_look(LSN(5))
    assert not unsent.is_looked_at
    assert unsent.note(wal(7))  # the next one is looked at again


def test_an_earlier_one_that_was_sent_says_nothing_of_a_later_one() -> None:
    unsent = UnsentCommit()
    unsent.note(wal(5))
    unsent.note(wal(sent=4))
    assert unsent.begin_look(LSN(5))


def test_one_that_could_not_be_looked_at_is_when_the_next_connection_comes_back() -> None:
    unsent = UnsentCommit()
    unsent.note(wal(5))
    assert unsent.begin_look(LSN(5))
    assert unsent.note(wal())


def test_one_with_a_later_one_behind_it_is_looked_at_with_that() -> None:
    unsent = UnsentCommit()
    assert unsent.note(wal(5))
    unsent.note(wal(7))
    assert not unsent.begin_look(LSN(5))
    assert unsent.is_looked_at  # the one who looks does so again
    assert not unsent.note(wal(8))
    assert unsent.begin_look(LSN(8))
    assert not unsent.is_looked_at


def test_what_a_connection_has_learnt_is_taken_from_it() -> None:
    learnt = wal(5)
    UnsentCommit().note(learnt)
    assert learnt.to_send is None
