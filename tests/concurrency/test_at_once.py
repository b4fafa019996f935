"""Calls on sockets that return at once say what Python's own would."""

from __future__ import annotations

import socket

import pytest

from fly_orm.concurrency import at_once


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_sends_what_the_other_end_receives(pair):
    ours, theirs = pair
    assert at_once.send(ours.fileno(), b"one\0two") == 7
    assert theirs.recv(100) == b"one\0two"


def test_sends_what_there_is_room_for_and_then_raises(pair):
    ours, theirs = pair
    sent, data = 0, bytes(2**16)
    with pytest.raises(BlockingIOError):
        while True:
            sent += at_once.send(ours.fileno(), data)
    theirs.setblocking(False)
    received = 0
    while received < sent:
        received += len(theirs.recv(2**20))
    assert received == sent


def test_raises_what_a_socket_raises_whose_peer_is_gone(pair):
    ours, theirs = pair
    theirs.close()
    with pytest.raises(BrokenPipeError, match="Broken pipe"):
        at_once.send(ours.fileno(), b"one")


def test_raises_what_a_closed_socket_raises(pair):
    pair[0].close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        at_once.send(pair[0].fileno(), b"one")
    assert not at_once.is_silent(pair[0].fileno())


def test_a_socket_is_silent_until_something_arrives_which_is_left_to_be_read(pair):
    ours, theirs = pair
    assert at_once.is_silent(ours.fileno())
    theirs.send(b"one")
    assert not at_once.is_silent(ours.fileno())
    assert ours.recv(100) == b"one"
    assert at_once.is_silent(ours.fileno())


def test_a_socket_is_not_silent_once_its_peer_is_gone(pair):
    pair[1].close()
    assert not at_once.is_silent(pair[0].fileno())
