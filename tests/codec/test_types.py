"""The application's own classes travel once they are registered."""

from __future__ import annotations

import abc
import dataclasses
import enum
import itertools
from typing import Any, ClassVar, Generic, TypeVar

import msgspec
import pytest

from fly_orm.codec import CodecError, decode, encode, register_type
from fly_orm.errors import ConfigurationError, FlyOrmError, NotDelivered, NotPortable

_numbers = itertools.count()
T = TypeVar("T")


def fresh() -> str:
    """A name that no other test registers."""
    return f"fresh:{next(_numbers)}"


def back(value: Any) -> Any:
    return decode(encode(value, "the result"))


def test_the_decorator_returns_the_class_bare_and_with_arguments():
    @dataclasses.dataclass
    class Basket:
        items: list[Any]

    assert register_type(name=fresh())(Basket) is Basket
    assert register_type(Basket, name=fresh()) is Basket
    assert back(Basket([1])) == Basket([1])
    assert type(back(Basket([1]))) is Basket


@register_type
@dataclasses.dataclass
class Bare:
    x: int


def test_a_class_is_registered_by_module_and_qualified_name():
    assert msgspec.msgpack.decode(encode(Bare(1), "x")) == [25, f"{__name__}:Bare", "x", 1]


def test_a_dataclass_arrives_with_all_of_its_fields_and_nothing_else():
    @register_type(name=fresh())
    @dataclasses.dataclass(slots=True)
    class Order(Generic[T]):
        number: T
        seen: int = dataclasses.field(default=0, compare=False, repr=False)
        hidden: int = dataclasses.field(init=False)
        factor: dataclasses.InitVar[int] = 2
        shop: ClassVar[str] = "here"

        def __post_init__(self, factor: int) -> None:
            self.hidden = self.number * factor

    order = Order(3, 9, 5)
    order.hidden += 1
    copy = back(order)
    assert (copy.number, copy.seen, copy.hidden) == (3, 9, 16)


def test_an_attribute_that_was_not_set_is_refused():
    @register_type(name=fresh())
    @dataclasses.dataclass
    class Order:
        hidden: int = dataclasses.field(init=False)

    with pytest.raises(NotPortable, match=r"^argument 'o'\[0\].hidden: it cannot be read \(AttributeError"):
        encode([Order()], "argument 'o'")


def test_fields_of_another_release_are_named():
    name = fresh()

    def release(**fields: Any) -> Any:
        return register_type(dataclasses.make_dataclass("Order", fields.items(), namespace={}), name=name)

    data = encode(release(number=int, price=int)(1, 2), "x")
    release(number=int, total=int, tax=int)
    with pytest.raises(CodecError, match="Order does not have here price and also has here tax, total; the two nodes"):
        decode(data)
    release(price=int, number=int)
    assert (decode(data).number, decode(data).price) == (1, 2)


def test_an_enum_travels_by_the_names_of_its_members():
    name = fresh()
    data = encode(register_type(enum.Enum("Mood", {"SAD": 1}), name=name).SAD, "x")
    assert decode_with(enum.Enum("Mood", {"SAD": "other"}), name, data).value == "other"
    with pytest.raises(CodecError, match="Mood has no member 'SAD' here"):
        decode_with(enum.Enum("Mood", {"HAPPY": 1}), name, data)


def decode_with(cls: Any, name: str, data: bytes) -> Any:
    register_type(cls, name=name)
    return decode(data)


class Money:
    def __init__(self, cents: Any) -> None:
        self.cents = cents


def hooks(**changed: Any) -> dict[str, Any]:
    return {"name": fresh(), "encode": lambda money: money.cents, "decode": Money, **changed}


def test_hooks_say_what_stands_for_an_instance():
    register_type(Money, **hooks())
    assert back([Money((1, 2))])[0].cents == (1, 2)


def test_an_error_in_an_encode_hook_is_the_cause_of_the_refusal():
    register_type(Money, **hooks(encode=lambda money: money.nothing))
    with pytest.raises(
        NotPortable, match=r"\[1\]: the encode hook of .*Money failed \(AttributeError: .*'nothing'"
    ) as e:
        encode([0, Money(1)], "x")
    assert isinstance(e.value.__cause__, AttributeError)


def test_what_an_encode_hook_returns_has_to_travel():
    register_type(Money, **hooks(encode=lambda money: [object()]))
    with pytest.raises(NotPortable, match=r"^x \(what its encode hook returned\)\[0\]: an object cannot travel"):
        encode(Money(1), "x")
    register_type(Money, **hooks(encode=lambda money: money))
    with pytest.raises(NotPortable, match="it contains itself"):
        encode(Money(1), "x")


def test_an_error_in_a_decode_hook_is_the_cause_of_the_codec_error():
    register_type(Money, **hooks(decode=lambda cents: 1 // 0))
    with pytest.raises(CodecError, match=r"the decode hook of .*Money failed: ZeroDivisionError") as caught:
        back(Money(1))
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_decode_hook_has_to_return_an_instance():
    register_type(Money, **hooks(decode=lambda cents: cents))
    with pytest.raises(CodecError, match=r"the decode hook of .*Money returned a int"):
        back(Money(1))


def test_a_class_that_is_defined_again_takes_the_place_of_the_first():
    name = fresh()

    def load() -> Any:
        return register_type(dataclasses.make_dataclass("Order", ["x"]), name=name)

    first, second = load(), load()
    assert type(back(second(1))) is second
    with pytest.raises(NotPortable, match="Order cannot travel"):
        encode(first(1), "x")


def test_a_hostile_hash_is_a_codec_error():
    @dataclasses.dataclass
    class Key:
        x: int

        def __hash__(self) -> int:
            raise KeyboardInterrupt if self.x else LookupError("no hash")

    name = fresh()
    register_type(Key, name=name)
    with pytest.raises(CodecError, match="LookupError: no hash"):
        decode(msgspec.msgpack.encode([2, [25, name, "x", 0]]))


@dataclasses.dataclass
class ListOfOnes(list):  # type: ignore[type-arg]
    x: int = 1


class Undecorated(Bare):
    pass


class Ending(StopIteration):
    pass


class Exiting(SystemExit):
    pass


class Mine(NotDelivered):
    pass


class Plain(abc.ABC):  # noqa: B024
    pass


def local() -> type:
    @dataclasses.dataclass
    class Local:
        x: int

    return Local


REFUSED = {
    "no class": (lambda: 5, {}, "takes a class, not 5"),
    "a function": (lambda: fresh, {}, "takes a class, not <function fresh"),
    "a plain class": (
        lambda: Plain,
        {},
        "Plain is not an Enum, a dataclass, .* or an exception; pass .* hooks",
    ),
    "an undecorated subclass": (lambda: Undecorated, {}, "Undecorated is not an Enum, a dataclass, a namedtuple"),
    "a dataclass that is a list": (lambda: ListOfOnes, {}, "ListOfOnes is not an Enum, a dataclass, a namedtuple"),
    "a tuple": (lambda: type("Tuple", (tuple,), {}), {}, "Tuple is not an Enum, a dataclass, a namedtuple"),
    "one hook": (lambda: Plain, {"encode": repr}, "both hooks for .*Plain, encode= and decode=, or neither"),
    "the other hook": (lambda: Plain, {"decode": Plain}, "both hooks"),
    "a local class": (local, {}, "Local is defined inside a function; pass register_type.. a name="),
    "an empty name": (local, {"name": ""}, "name= must be a printable str, not ''"),
    "a name with surrogates": (local, {"name": "\ud800"}, "name= must be a printable str"),
    "a taken name": (
        lambda: Plain,
        {**hooks(), "name": f"{__name__}:Bare"},
        "two classes are named .*, .*Bare and .*Plain",
    ),
    "int": (lambda: int, hooks(), "int travels without being registered"),
    "list": (lambda: list, hooks(), "list travels without being registered"),
    "what ends generators": (lambda: Ending, {}, "Ending never travels as itself"),
    "what ends processes": (lambda: Exiting, {}, "Exiting never travels as itself"),
    "what fly_orm raises": (lambda: FlyOrmError, {}, "FlyOrmError never travels as itself"),
    "what derives from it": (lambda: Mine, {}, "Mine never travels as itself"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_registered_is_refused(case):
    cls, arguments, message = REFUSED[case]
    with pytest.raises(ConfigurationError, match=message):
        register_type(cls(), **arguments)
