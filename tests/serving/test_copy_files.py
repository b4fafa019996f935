"""The files between a COPY on a node and its caller."""

import threading

from fly_orm.protocol.copying import PIECE_BYTES
from fly_orm.protocol.messages import Copy, Copying
from fly_orm.serving.copy_files import CopyInput, CopyOutput


def test_a_piece_of_output_is_sent_once_though_the_copy_ends_before_it_is_taken():
    output = CopyOutput()
    output.write(b"x" * PIECE_BYTES)
    assert output.ready
    assert output.rest() == (b"x" * PIECE_BYTES, [PIECE_BYTES])
    assert not output.ready


def test_a_row_longer_than_a_piece_is_sent_in_several():
    output = CopyOutput()
    output.write(b"a")
    output.write(b"x" * (2 * PIECE_BYTES))
    with output.changed:
        assert output.reply() == Copying(data=b"a" + b"x" * (PIECE_BYTES - 1), sizes=[1, 2 * PIECE_BYTES])
        assert output.reply() == Copying(data=b"x" * PIECE_BYTES)
    assert output.rest() == (b"x", [])


def test_output_waits_for_the_caller_to_take_it():
    output = CopyOutput()
    writer = threading.Thread(target=lambda: [output.write(b"x" * PIECE_BYTES) for _ in range(3)], daemon=True)
    writer.start()
    for _ in range(2):
        with output.changed:
            assert output.changed.wait_for(lambda: output.ready, 10)
        writer.join(0.1)
        assert writer.is_alive()
        with output.changed:
            output.reply()
    writer.join(10)
    assert not writer.is_alive()


def test_a_slow_query_sends_what_there_is():
    output = CopyOutput()
    output.hurry()
    assert not output.ready
    output.write(b"row")
    assert output.ready
    with output.changed:
        output.reply()
    output.write(b"row")
    assert not output.ready  # until it is slow again


def test_input_ends_with_the_last_piece_only():
    source = CopyInput(b"first", lambda: False)
    assert source.read(3) == b"fir"
    assert source.ready
    with source.changed:
        source.go_on(Copy(data=b"last", last=True))
    assert not source.ready
    assert [source.read(3) for _ in range(4)] == [b"st", b"las", b"t", b""]
    assert source.complete
    assert not source.ready
