"""Functions and methods that run in the primary region keep the types of their arguments and results."""

from __future__ import annotations

from typing import TYPE_CHECKING

import fly_orm

if TYPE_CHECKING:
    from typing_extensions import assert_type


class Till:
    @fly_orm.on_primary
    def take(self, amount: int) -> str:
        return f"{amount}"

    @fly_orm.on_primary
    @classmethod
    def opened(cls, number: int) -> list[Till]:
        return [cls()] * number

    @fly_orm.on_primary(timeout=2)
    @classmethod
    def counted(cls, *, most: int = 2) -> int:
        return most

    @classmethod
    @fly_orm.on_primary
    def closed(cls, number: int) -> tuple[int, Till]:
        return number, cls()

    @staticmethod
    @fly_orm.on_primary(timeout=2)
    def total(currency: str) -> float:
        return len(currency) / 2

    @fly_orm.on_primary(exactly_once=True)
    @staticmethod
    def known(currency: str) -> bool:
        return bool(currency)

    @fly_orm.remote
    @classmethod
    def audited(cls, year: int) -> bytes:
        return bytes(year)

    @fly_orm.remote
    @staticmethod
    def rounded(amount: float) -> int:
        return int(amount)


class Kiosk(Till):
    pass


@fly_orm.on_primary
def count(name: str, *, limit: int = 10) -> list[int]:
    return [len(name), limit]


def use_methods(till: Till, kiosk: Kiosk) -> None:
    assert_type(till.take(1), str)
    assert_type(till.take.local(1), str)
    assert_type(kiosk.take(1), str)
    assert_type(Till.take(till, amount=1), str)
    assert_type(fly_orm.call(fly_orm.PRIMARY, till.take, 1), str)
    till.take("1")  # type: ignore[arg-type]


def use_class_methods(till: Till, kiosk: Kiosk) -> None:
    assert_type(Till.opened(1), list[Till])
    assert_type(till.opened(number=1), list[Till])
    assert_type(Kiosk.opened(1), list[Till])
    assert_type(kiosk.opened(1), list[Till])
    assert_type(Till.opened.local(1), list[Till])
    assert_type(Till.counted(), int)
    assert_type(till.counted(most=1), int)
    assert_type(Till.closed(1), tuple[int, Till])
    assert_type(till.closed(1), tuple[int, Till])
    assert_type(Kiosk.closed(number=1), tuple[int, Till])
    assert_type(fly_orm.call("syd", Till.opened, 1), list[Till])
    Till.opened("1")  # type: ignore[arg-type]
    till.opened("1")  # type: ignore[arg-type]
    Till.closed("1")  # type: ignore[arg-type]
    Kiosk.counted(1)  # type: ignore[call-arg]


def use_static_methods(till: Till, kiosk: Kiosk) -> None:
    assert_type(Till.total("EUR"), float)
    assert_type(till.total("EUR"), float)
    assert_type(Kiosk.total(currency="EUR"), float)
    assert_type(Till.total.local("EUR"), float)
    assert_type(Till.known("EUR"), bool)
    assert_type(kiosk.known("EUR"), bool)
    assert_type(till.known.local("EUR"), bool)
    Till.total(1)  # type: ignore[arg-type]
    till.known(1)  # type: ignore[arg-type]


def use_remote_methods(till: Till) -> None:
    assert_type(Till.audited(1), bytes)
    assert_type(fly_orm.call("syd", till.audited, 1), bytes)
    assert_type(till.rounded(1.5), int)
    Till.audited("1")  # type: ignore[arg-type]


def use_functions() -> None:
    assert_type(count("a", limit=2), list[int])
    assert_type(count.local("a"), list[int])
    assert_type(fly_orm.call(fly_orm.PRIMARY, count, "a"), list[int])
    count(1)  # type: ignore[arg-type]
