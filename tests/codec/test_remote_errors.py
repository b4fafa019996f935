"""What cannot arrive as it was raised arrives as a RemoteError that says what it was."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import peewee
import pytest

from fly_orm import errors
from fly_orm.codec import CodecError, decode, decode_error, encode_error, register_type
from fly_orm.routing.errors import as_driver_error
from tests.codec import raising
from tests.codec.raising import Unregistered, arrived, raised

_numbers = itertools.count()


NEVER = {
    "SystemExit": SystemExit(3),
    "KeyboardInterrupt": KeyboardInterrupt(),
    "GeneratorExit": GeneratorExit(),
    "StopIteration": StopIteration(5),
    "StopAsyncIteration": StopAsyncIteration(),
    "asyncio.exceptions.CancelledError": asyncio.CancelledError(),
    f"{raising.__name__}.Unregistered": Unregistered("why", 1),
    "json.decoder.JSONDecodeError": __import__("json").JSONDecodeError("bad", "doc", 0),
    "fly_orm.errors.NotDelivered": errors.NotDelivered("no node", node="syd"),
    "fly_orm.errors.OutcomeUnknown": errors.OutcomeUnknown("lost"),
    "fly_orm.errors.TransactionLost": as_driver_error(errors.TransactionLost("gone"), peewee),
    "fly_orm.errors.NotSupported": as_driver_error(errors.NotSupported("no")),
    "fly_orm.errors.NotPortable": errors.NotPortable("no"),
}


@pytest.mark.parametrize("name", NEVER)
def test_what_may_not_be_raised_elsewhere_is_a_remote_error(name):
    error = raised(NEVER[name], ValueError("cause"))
    copy = arrived(error)
    assert type(copy) is errors.RemoteError
    assert (copy.class_name, copy.text) == (name, str(error))
    assert str(copy) == f"{name}: {error}".removesuffix(": ")
    assert copy.__notes__[0].startswith("Traceback on another node:\n")
    assert copy.__cause__.args == ("cause",)
    error.__cause__ = None


def test_how_to_have_an_exception_arrive_as_itself_is_told():
    assert arrived(Unregistered()).__notes__ == [
        f"It arrives as a RemoteError because {raising.__name__}.Unregistered is not registered "
        "with fly_orm.register_type."
    ]
    assert not hasattr(arrived(errors.NotDelivered("x")), "__notes__")


def test_a_remote_error_that_travels_on_says_what_it_was_first():
    copy = arrived(arrived(Unregistered("why")))
    assert (copy.class_name, copy.text) == (f"{raising.__name__}.Unregistered", "why")


def test_an_argument_that_cannot_travel_makes_a_remote_error():
    copy = arrived(raised(ValueError("bad", object())))
    assert (type(copy), copy.class_name) == (errors.RemoteError, "ValueError")
    assert copy.text.startswith("('bad', <object object")
    assert copy.__notes__[-1].startswith("It arrives as a RemoteError because of .args[1]: an object cannot travel; ")


def test_an_attribute_that_cannot_travel_is_left_out_and_told():
    error = ValueError("bad")
    error.socket, error.code = [object()], 5
    copy = arrived(error)
    assert type(copy) is ValueError
    assert vars(copy).keys() == {"code", "__notes__"}
    assert copy.__notes__[0].startswith(
        "It arrives without its attribute 'socket': .socket[0]: an object cannot travel"
    )


def test_an_attribute_in_a_circle_is_no_recursion():
    error = ValueError("bad")
    error.own = error.again = error
    assert type(arrived(error)) is errors.RemoteError


class Hopeless(Exception):
    """Its every method fails, with ``failure``."""

    failure: BaseException = ValueError("no")

    def fail(self, *args: Any) -> Any:
        raise self.failure

    __str__ = __repr__ = __reduce__ = __eq__ = __hash__ = __bool__ = __len__ = fail  # type: ignore[assignment]
    args = __dict__ = __cause__ = __notes__ = __traceback__ = property(fail)  # type: ignore[assignment]


@pytest.mark.parametrize("registered", [False, True])
@pytest.mark.parametrize(
    "failure", [ValueError(), KeyboardInterrupt(), SystemExit(), RecursionError(), GeneratorExit()]
)
def test_a_hopeless_exception_is_told_all_the_same(failure, registered):
    cls: Any = type("Hopeless", (Hopeless,), {"failure": failure})
    if registered:
        register_type(cls, name=f"hopeless:{next(_numbers)}")
    copy = arrived(raised(cls(1), ValueError()))
    assert "Hopeless" in type(copy).__name__ + getattr(copy, "class_name", "")


class Text(str):
    __slots__ = ()

    def __len__(self) -> int:
        raise ValueError("no length")


TEXTS = [Text("x"), "\ud800", "x" * 10**7, 5]


@pytest.mark.parametrize("index", range(len(TEXTS)))
def test_a_strange_text_is_no_obstacle(index):
    text = TEXTS[index]
    cls: Any = type("Strange", (Exception,), {"__str__": lambda self: text})
    copy = arrived(cls())
    assert copy.class_name == f"{__name__}.Strange"
    assert len(copy.text) < 8100


class Meta(type):
    @property
    def __module__(cls) -> Any:  # type: ignore[override]
        raise ValueError("no module")

    def __instancecheck__(cls, instance: Any) -> bool:
        raise ValueError("no instance")


def test_a_strange_class_is_no_obstacle():
    cls: Any = Meta("Odd", (Exception,), {})
    assert arrived(cls("x")).text == "x"


def test_an_enormous_exception_arrives_without_its_arguments():
    data = encode_error(raised(ValueError(b"x" * 2**21)))
    assert len(data) < 2**20
    copy = decode_error(data)
    assert (type(copy), copy.class_name) == (errors.RemoteError, "ValueError")


def test_a_class_that_is_not_known_here_is_a_remote_error():
    name = f"gone:{next(_numbers)}"
    cls: Any = register_type(type("Gone", (Exception,), {}), name=name)
    data = encode_error(raised(cls("why"), KeyError("cause")))
    altered = data.replace(name.encode(), name.encode()[::-1])
    copy = decode_error(altered)
    assert type(copy) is errors.RemoteError
    assert (copy.class_name, copy.text) == (f"{__name__}.Gone", "why")
    assert "is not registered here" in copy.__notes__[-1]
    assert type(copy.__cause__) is KeyError
    with pytest.raises(CodecError, match="not registered here"):
        decode(altered)
