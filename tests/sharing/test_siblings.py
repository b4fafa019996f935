"""Workers ask each other: the one that has a lease acts, and who asks waits for that, and not for ever."""

import socket
import threading
from types import SimpleNamespace

import pytest

from fly_orm.deadline import Deadline
from fly_orm.sharing.siblings import CANCEL, MOST_ID_BYTES, Siblings
from tests.support.two_regions import AMPLE

LEASE = b"a lease of somebody"


@pytest.fixture
def siblings():
    """Three, of which none answers yet."""
    mail = [socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(3)]
    outboxes = [outbox for _, outbox in mail]
    yield [Siblings(number, inbox, outboxes) for number, (inbox, _) in enumerate(mail)]
    for inbox, outbox in mail:
        inbox.shutdown(socket.SHUT_RDWR)
        inbox.close()
        outbox.close()


def test_the_one_that_has_the_lease_has_acted_when_asking_returns(siblings):
    cancelled = []

    def cancel(lease):
        cancelled.append(lease)
        return True

    siblings[0].answer({})
    siblings[1].answer({CANCEL: lambda _: False})
    siblings[2].answer({CANCEL: cancel})
    for _ in range(100):
        siblings[0].ask(CANCEL, LEASE, Deadline.after(AMPLE))
    assert cancelled == [LEASE] * 100


def test_one_that_cannot_start_a_thread_now_answers_all_the_same_and_later(siblings, monkeypatch):
    cancelled = []
    siblings[0].answer({})
    siblings[1].answer({CANCEL: lambda lease: cancelled.append(lease) is None})

    def start(*_):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as shortage:
        shortage.setattr("fly_orm.concurrency.threads._thread", SimpleNamespace(start_new_thread=start))
        siblings[0].ask(CANCEL, LEASE, Deadline.after(AMPLE))
    siblings[0].ask(CANCEL, LEASE, Deadline.after(AMPLE))
    assert cancelled == [LEASE] * 2


def test_asking_ends_when_nobody_has_the_lease(siblings):
    for each in siblings:
        each.answer({CANCEL: lambda _: False})
    deadline = Deadline.after(AMPLE)
    siblings[0].ask(CANCEL, LEASE, deadline)
    assert not deadline.expired


def test_asking_ends_at_the_deadline_if_a_sibling_hangs(siblings):
    siblings[0].answer({})
    siblings[1].answer({CANCEL: lambda _: False})
    deadline = Deadline.after(0.1)
    assert not siblings[0].ask(CANCEL, LEASE, deadline)
    assert deadline.expired


def test_a_sibling_that_hangs_and_whose_inbox_is_full_counts_as_having_declined(siblings):
    siblings[0].answer({})
    siblings[1].answer({CANCEL: lambda _: False})
    for _ in range(2000):  # more than the inbox of any system holds
        siblings[0].ask(CANCEL, LEASE, Deadline.after(0))
    deadline = Deadline.after(AMPLE)
    siblings[0].ask(CANCEL, LEASE, deadline)
    assert not deadline.expired


def test_the_answer_is_not_given_to_another_question(siblings, monkeypatch):
    """The one that has the lease is slow, and says yes while another question is open."""
    may_go_on, said_yes = threading.Event(), threading.Event()
    note = siblings[0]._note

    def noting(number, *, yes):
        note(number, yes=yes)
        if yes:
            said_yes.set()

    def cancel(lease):
        if lease == LEASE:
            may_go_on.wait(AMPLE)
        return lease == LEASE

    def wait(lease):
        if lease != LEASE:
            may_go_on.set()
            said_yes.wait(AMPLE)
        return False

    monkeypatch.setattr(siblings[0], "_note", noting)
    siblings[0].answer({})
    siblings[1].answer({CANCEL: cancel})
    siblings[2].answer({CANCEL: wait})
    assert not siblings[0].ask(CANCEL, LEASE, Deadline.after(0.05))
    assert not siblings[0].ask(CANCEL, b"another", Deadline.after(AMPLE))
    assert said_yes.is_set()
    assert siblings[0].ask(CANCEL, LEASE, Deadline.after(AMPLE))


def test_an_id_that_no_lease_of_ours_has_is_not_passed_on(siblings):
    siblings[0].answer({})
    siblings[0].ask(CANCEL, b"x" * (MOST_ID_BYTES + 1), Deadline.after(None))


def test_one_that_fails_says_so_and_answers_later(siblings, caplog):
    cancelled = []

    def cancel(lease):
        if not cancelled.append(lease) and len(cancelled) == 1:
            raise MemoryError

    siblings[0].answer({})
    siblings[1].answer({CANCEL: cancel})
    siblings[2].answer({CANCEL: lambda _: False})
    deadline = Deadline.after(AMPLE)
    siblings[0].ask(CANCEL, LEASE, deadline)
    siblings[0].ask(CANCEL, LEASE, deadline)
    assert deadline.remaining() > 0, "it waited in vain"
    assert cancelled == [LEASE] * 2
    assert "could not do what another worker asks for" in caplog.text
