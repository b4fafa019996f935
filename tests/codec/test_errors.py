"""Exceptions arrive as they were raised."""

from __future__ import annotations

import builtins
import sys
from typing import Any

import peewee
import psycopg2
import psycopg2.errors
import pytest

from fly_orm import errors
from fly_orm.adapters.loading import load_adapter
from fly_orm.codec import decode, encode, register_type
from fly_orm.postgres.sql_error import rebuild
from fly_orm.protocol.messages import SQLError
from tests.codec.raising import Unregistered, arrived, caught, raised

load_adapter("peewee")
ExceptionGroup: Any = getattr(builtins, "ExceptionGroup", None)


@register_type
class OutOfStock(Exception):
    def __init__(self, *, item: str, left: int) -> None:
        super().__init__(f"{left} of {item} left")
        self.item = item
        self.left = left


@register_type
class Missing(OSError):
    def __init__(self, path: str) -> None:
        super().__init__(2, "missing", path)


@register_type(encode=lambda error: error.code, decode=lambda code: Coded(code))
class Coded(Exception):
    __slots__ = ("code",)

    def __init__(self, code: int) -> None:
        super().__init__()
        self.code = code


@register_type
class Conflict(psycopg2.IntegrityError):
    def __init__(self, one: Any, two: Any) -> None:
        super().__init__(f"{one} and {two}")


def told(error: Exception) -> tuple[Any, ...]:
    """What can be told about an exception, without its traceback."""
    fields = (
        "errno",
        "strerror",
        "filename",
        "filename2",
        "name",
        "path",
        "msg",
        "lineno",
        "offset",
        "text",
        "end_lineno",
    )
    fields += ("encoding", "object", "start", "end", "reason", "characters_written", "pgcode", "pgerror")
    found = {field: getattr(error, field, None) for field in fields}
    return type(error), error.args, str(error), repr(error), found


def blocking() -> BlockingIOError:
    error = BlockingIOError(11, "later", 7)
    assert error.characters_written == 7
    return error


ERRORS = {
    "ValueError": ValueError("a", 1, (2,), {"x": [None]}),
    "no arguments": RuntimeError(),
    "KeyError": KeyError(("a", 1)),
    "surrogates": ValueError("\udc80"),
    "OSError": OSError(2, "No such file", "there"),
    "two files": OSError(18, "Cross-device", "here", None, "there"),
    "open": caught(open, "/nowhere/at/all"),
    "BlockingIOError": blocking(),
    "OSError of text": OSError("text only"),
    "UnicodeDecodeError": caught(b"a\xff".decode, "utf-8"),
    "UnicodeEncodeError": caught("a\ud800".encode, "utf-8"),
    "UnicodeError": UnicodeError("x"),
    "UnicodeTranslateError": UnicodeTranslateError("abc", 1, 2, "why"),
    "ImportError": ImportError("no such", name="os.nothing", path="/x"),
    "ModuleNotFoundError": caught(__import__, "no_such_module"),
    "AttributeError": caught(getattr, object(), "nothing"),
    "NameError": caught(eval, "nothing_at_all"),
    "SyntaxError": caught(compile, "a b", "file.py", "exec"),
    "IndentationError": caught(compile, "if 1:\nx", "file.py", "exec"),
    "AssertionError": AssertionError({"x": 1}),
    "ZeroDivisionError": caught(lambda: 1 // 0),
    "warning": DeprecationWarning("old"),
    "registered": OutOfStock(item="tea", left=0),
    "registered OSError": Missing("/x"),
    "peewee": peewee.IntegrityError("twice", 5),
    "peewee.DoesNotExist": peewee.DoesNotExist("none"),
    "psycopg2 without server": psycopg2.OperationalError("could not connect"),
    "psycopg2 interface": psycopg2.InterfaceError("connection already closed"),
    "psycopg2 class of a state": psycopg2.errors.UniqueViolation("made here", 2),
    "a subclass of psycopg2's": Conflict(1, 2),
}


@pytest.mark.parametrize("case", ERRORS)
def test_an_exception_arrives_as_it_was(case):
    error = ERRORS[case]
    copy = arrived(error)
    assert told(copy) == told(error)
    assert {k: v for k, v in vars(copy).items() if k != "__notes__"} == vars(error)
    with pytest.raises(type(error)):
        raise copy


@pytest.mark.parametrize("case", ERRORS)
def test_an_exception_is_also_a_value(case):
    copy = decode(encode([ERRORS[case]], "the result"))[0]
    assert told(copy) == told(ERRORS[case])


def test_every_builtin_exception_arrives_as_itself_or_as_a_remote_error():
    for cls in vars(builtins).values():
        if isinstance(cls, type) and issubclass(cls, BaseException):
            members = [KeyboardInterrupt()] if cls.__name__ == "BaseExceptionGroup" else [ValueError()]
            error = cls.__new__(cls, "m", members) if "Group" in cls.__name__ else cls.__new__(cls)
            itself = issubclass(cls, Exception) and cls not in (StopIteration, StopAsyncIteration)
            unset = issubclass(cls, UnicodeError) and cls is not UnicodeError  # without its fields it is none
            assert type(arrived(error)) is (cls if itself and not unset else errors.RemoteError), cls


def test_attributes_and_notes_arrive():
    error = ValueError("x")
    error.order = {"id": (1, 2)}
    error.__notes__ = ["first", "second"]
    copy = arrived(error)
    assert copy.order == {"id": (1, 2)}
    assert copy.__notes__ == ["first", "second"]


def test_hooks_make_exceptions_too():
    copy = arrived(raised(Coded(7)))
    assert (type(copy), copy.code) == (Coded, 7)
    assert "Traceback on another node:" in copy.__notes__[0]


def test_the_traceback_arrives_as_a_note_without_variables():
    secret = "hunter2"

    def fails() -> None:
        password = secret + "!"
        raise ValueError(len(password))

    copy = arrived(caught(fails))
    (note,) = copy.__notes__
    assert note.startswith("Traceback on another node:\nTraceback (most recent call last):\n")
    assert note.endswith("ValueError: 8")
    assert "in fails" in note
    assert "hunter2" not in note
    assert copy.__traceback__ is None


def test_a_long_traceback_is_cut_at_its_beginning():
    copy = arrived(raised(ValueError("x" * 20_000 + "the end")))
    (note,) = copy.__notes__
    assert len(note) < 8100
    assert note.startswith("Traceback on another node:\n…x")
    assert note.endswith("the end")


def test_a_second_journey_adds_a_note_and_repeats_none():
    copy = arrived(raised(arrived(raised(ValueError("once")))))
    assert [note.count("Traceback on another node") for note in copy.__notes__] == [1, 1]


def test_an_exception_that_was_never_raised_has_no_traceback():
    assert not hasattr(arrived(ValueError()), "__notes__")


def test_the_cause_arrives_with_its_own_traceback():
    copy = arrived(raised(ValueError("outer"), raised(KeyError("inner"))))
    assert (type(copy.__cause__), copy.__cause__.args) == (KeyError, ("inner",))
    assert copy.__suppress_context__
    assert "KeyError: 'inner'" in copy.__cause__.__notes__[0]
    assert "KeyError" not in copy.__notes__[0]


def test_what_it_was_raised_during_is_told_by_the_traceback():
    def fails() -> None:
        try:
            raise KeyError("inner")
        except KeyError:
            raise ValueError("outer")  # noqa: B904

    copy = arrived(caught(fails))
    assert copy.__cause__ is None
    assert not copy.__suppress_context__
    assert "KeyError: 'inner'" in copy.__notes__[0]


def test_a_context_that_was_suppressed_stays_suppressed():
    def fails() -> None:
        try:
            raise KeyError("inner")
        except KeyError:
            raise ValueError("outer") from None

    copy = arrived(caught(fails))
    assert copy.__suppress_context__
    assert "KeyError" not in copy.__notes__[0]


def test_a_chain_of_causes_has_an_end():
    error = ValueError(0)
    for number in range(1, 100):
        error = raised(ValueError(number), error)
    copy, length = arrived(error), 0
    while copy is not None:
        copy, length = copy.__cause__, length + 1
    assert length == 20


def test_causes_in_a_circle_are_cut():
    one, two = ValueError(1), KeyError(2)
    one.__cause__, two.__cause__ = two, one
    copy = arrived(one)
    assert type(copy.__cause__) is KeyError
    assert copy.__cause__.__cause__ is None


def test_a_cause_of_another_class_is_a_remote_error():
    copy = arrived(raised(ValueError(1), KeyboardInterrupt("stop")))
    assert type(copy) is ValueError
    assert (type(copy.__cause__), copy.__cause__.class_name) == (errors.RemoteError, "KeyboardInterrupt")


@pytest.mark.skipif(sys.version_info < (3, 11), reason="groups came with Python 3.11")
def test_a_group_arrives_with_its_exceptions():
    inner = ExceptionGroup("inner", [KeyError("k"), Unregistered("u")])
    copy = arrived(raised(ExceptionGroup("outer", [raised(ValueError(1)), inner])))
    assert type(copy) is ExceptionGroup
    assert copy.message == "outer"
    assert copy.exceptions[0].args == (1,)
    assert "ValueError: 1" in copy.exceptions[0].__notes__[0]
    assert [type(error) for error in copy.exceptions[1].exceptions] == [KeyError, errors.RemoteError]
    assert copy.args == ("outer", list(copy.exceptions))


@pytest.mark.skipif(sys.version_info < (3, 11), reason="groups came with Python 3.11")
def test_a_group_in_a_circle_is_cut():
    member = ValueError("member")
    group = ExceptionGroup("g", [member])
    member.__cause__ = group
    copy = arrived(group)
    assert copy.exceptions[0].__cause__ is None


def test_a_driver_error_arrives_with_its_diagnostics():
    described = SQLError(
        driver_class="IntegrityError",
        message="duplicate key",
        sqlstate="23505",
        text="ERROR:  duplicate key",
        diagnostics={"constraint_name": "user_name_key", "severity": "ERROR"},
    )
    error = rebuild(described)
    error.query = "INSERT"  # type: ignore[attr-defined]
    copy = arrived(error)
    assert isinstance(copy, psycopg2.errors.UniqueViolation)
    assert (copy.pgcode, copy.pgerror, str(copy)) == ("23505", "ERROR:  duplicate key", "duplicate key")
    assert (copy.diag.constraint_name, copy.diag.severity, copy.diag.table_name) == ("user_name_key", "ERROR", None)
    assert copy.query == "INSERT"
    assert type(copy) is type(error)
    assert told(arrived(copy)) == told(copy)


def test_a_driver_error_of_a_subclass_keeps_its_diagnostics():
    described = SQLError(driver_class="IntegrityError", message="m", diagnostics={"table_name": "t"})
    copy = arrived(rebuild(described, Conflict))
    assert isinstance(copy, Conflict)
    assert copy.diag.table_name == "t"


def test_a_peewee_error_arrives_with_the_drivers():
    described = SQLError(
        driver_class="IntegrityError", message="dup", sqlstate="23505", diagnostics={"column_name": "c"}
    )
    with pytest.raises(peewee.IntegrityError) as info, peewee.__exception_wrapper__:
        raise rebuild(described)
    copy = arrived(info.value)
    assert type(copy) is peewee.IntegrityError
    assert copy.args == ("dup",)
    assert isinstance(copy.orig, psycopg2.errors.UniqueViolation)
    assert (copy.orig.pgcode, copy.orig.diag.column_name) == ("23505", "c")


def test_ponys_errors_arrive_where_pony_is_used():
    core = pytest.importorskip("pony.orm.core")
    load_adapter("pony")
    error = core.IntegrityError(psycopg2.IntegrityError("dup"), "dup")
    copy = arrived(error)
    assert type(copy) is core.IntegrityError
    assert str(copy) == str(error)
    assert type(copy.original_exc) is psycopg2.IntegrityError
