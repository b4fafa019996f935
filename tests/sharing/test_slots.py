"""Places that processes share: none is held twice, and none is lost with the process that had it."""

import subprocess
import sys
import tempfile

import pytest

from fly_orm.parsing import MOST
from fly_orm.sharing.slots import Slots

OTHER = """
import sys
from fly_orm.sharing.slots import Slots
slots = Slots(int(sys.argv[1]), kind=int(sys.argv[2]), total=6, number=1, workers=2)
print(sum(slots.take() for _ in range(10)), flush=True)
for line in sys.stdin:
    print(slots.give() if line == "give\\n" else slots.take(), flush=True)
"""


@pytest.fixture
def file():
    with tempfile.TemporaryFile() as file:
        yield file


@pytest.fixture
def other(file):
    """Another worker, which has taken all that it could, and does what it is told."""
    process = subprocess.Popen(
        [sys.executable, "-c", OTHER, str(file.fileno()), "0"],
        pass_fds=[file.fileno()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    yield process
    process.kill()
    process.communicate()


def told(process, text):
    process.stdin.write(f"{text}\n")
    process.stdin.flush()
    return process.stdout.readline().strip()


def own(file, kind=0):
    return Slots(file.fileno(), kind=kind, total=6, number=0, workers=2)


def test_one_worker_can_have_all_but_what_belongs_to_the_others(file, other):
    assert other.stdout.readline() == "5\n"
    slots = own(file)
    assert [slots.take(), slots.take()] == [True, False]


def test_a_place_that_is_given_back_can_be_taken_by_the_other(file, other):
    other.stdout.readline()
    slots = own(file)
    slots.take()
    assert told(other, "give") == "True"
    assert [slots.take(), slots.take()] == [True, False]
    assert told(other, "take") == "False"
    assert slots.give()
    assert told(other, "take") == "True"


def test_nobody_gives_the_last_place_away(file):
    slots = own(file)
    slots.take()
    assert not slots.give()


def test_the_places_of_a_worker_that_was_killed_are_free(file, other):
    assert other.stdout.readline() == "5\n"
    other.kill()
    other.wait()
    slots = own(file)
    assert sum(slots.take() for _ in range(10)) == 5  # the sixth belongs to the one that takes the other's place


def test_places_of_another_kind_are_others(file, other):
    other.stdout.readline()
    slots = own(file, kind=1)
    assert sum(slots.take() for _ in range(10)) == 5


def test_there_may_be_as_many_places_as_a_limit_allows(file):
    slots = Slots(file.fileno(), kind=3, total=MOST, number=1, workers=2)
    assert [slots.take() for _ in range(3)] == [True] * 3
