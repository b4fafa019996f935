"""Exceptions arrive as they were raised, or as a RemoteError that says what they were."""

from __future__ import annotations

import asyncio
import builtins
import itertools
import sys
import traceback
from typing import Any

import msgspec
import peewee
import psycopg2
import psycopg2.errors
import pytest

from fly_orm import errors
from fly_orm.adapters.loading import load_adapter
from fly_orm.codec import CodecError, decode, decode_error, encode, encode_error, register_type
from fly_orm.postgres.sql_error import rebuild
from fly_orm.protocol.messages import SQLError
from fly_orm.routing.errors import as_driver_error

load_adapter("peewee")
ExceptionGroup: Any = getattr(builtins, "ExceptionGroup", None)
_numbers = itertools.count()


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


class Unregistered(Exception):
    pass


def raised(error: BaseException, cause: BaseException | None = None) -> Any:
    """The exception with a traceback."""
    try:
        if cause is not None:
            raise error from cause
        raise error
    except BaseException as caught:
        return caught


def caught(function: Any, *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except Exception as error:
        return error


def arrived(error: BaseException) -> Any:
    return decode_error(encode_error(error))


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


NEVER = {
    "SystemExit": SystemExit(3),
    "KeyboardInterrupt": KeyboardInterrupt(),
    "GeneratorExit": GeneratorExit(),
    "StopIteration": StopIteration(5),
    "StopAsyncIteration": StopAsyncIteration(),
    "asyncio.exceptions.CancelledError": asyncio.CancelledError(),
    f"{__name__}.Unregistered": Unregistered("why", 1),
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
        f"It arrives as a RemoteError because {__name__}.Unregistered is not registered with fly_orm.register_type."
    ]
    assert not hasattr(arrived(errors.NotDelivered("x")), "__notes__")


def test_a_remote_error_that_travels_on_says_what_it_was_first():
    copy = arrived(arrived(Unregistered("why")))
    assert (copy.class_name, copy.text) == (f"{__name__}.Unregistered", "why")


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


def node(reference: str, *args: Any, fields: Any = (), attributes: Any = ()) -> bytes:
    parts = [27, reference, "Name", "text", [1, *args], [4, *fields], [4, *attributes], [0], [0], None, False]
    return msgspec.msgpack.encode(parts)


FORGED = [
    node("module:builtins:SystemExit", 1),
    node("module:builtins:KeyboardInterrupt"),
    node("module:builtins:StopIteration"),
    node("module:builtins:BaseExceptionGroup", "x"),
    node("module:builtins:eval", "1"),
    node("module:builtins:int", "1"),
    node("module:builtins:nothing"),
    node("module:os:system", "true"),
    node("module:subprocess:CalledProcessError", 1, "x"),
    node("module:fly_orm.errors:NotDelivered", "x"),
    node("module:psycopg2.nothing:Error"),
    node("module:peewee:Model"),
    node("module::"),
    node("nothing"),
    node(f"type:{__name__}:Unregistered"),
    node("peewee:os:path"),
    node("module:builtins:UnicodeDecodeError"),
    node("module:builtins:UnicodeDecodeError", fields=["encoding", 1, "object", 2, "start", 3, "end", 4, "reason", 5]),
    node("module:builtins:SyntaxError", fields=["text", 5, "lineno", 1]),
    node("module:builtins:SyntaxError", fields=["text", "x", "lineno", "1"]),
    node("module:psycopg2:Error", fields=["diagnostics", 5]),
    node("module:psycopg2:Error", fields=["driver_class", "Nope", "message", 1]),
    node("module:builtins:ExceptionGroup", "no members"),
    node("module:builtins:ValueError", attributes=[1, 2]),
]


@pytest.mark.parametrize("data", FORGED)
def test_a_forged_class_is_never_made(data):
    copy = decode_error(data)
    assert (type(copy), copy.class_name) == (errors.RemoteError, "Name")
    with pytest.raises(CodecError):
        decode(data)


def test_fields_cannot_be_forged_into_something_that_fails_when_it_is_shown():
    fields = ["errno", "x", "strerror", b"y", "filename", [0]]
    copy = decode_error(node("module:builtins:OSError", fields=fields, attributes=["__class__", 5, "__notes__", 7]))
    assert traceback.format_exception_only(type(copy), copy)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        *map(msgspec.msgpack.encode, [1, "x", [], [0], [27], [28], [True] * 6, {"a": 1}, [28, 1, "", [0], None, 0]]),
    ],
)
def test_what_is_no_exception_is_a_codec_error(data):
    with pytest.raises(CodecError):
        decode_error(data)


def test_no_module_is_imported_for_a_class():
    assert "pony.orm.integration" not in sys.modules
    decode_error(node("module:pony.orm.integration:Error"))
    assert "pony.orm.integration" not in sys.modules
