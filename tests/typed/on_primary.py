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

    @staticmethod
    @fly_orm.on_primary(timeout=2)
    def total(currency: str) -> float:
        return len(currency) / 2


@fly_orm.on_primary
def count(name: str, *, limit: int = 10) -> list[int]:
    return [len(name), limit]


def use(till: Till) -> None:
    assert_type(till.take(1), str)
    assert_type(till.take.local(1), str)
    assert_type(Till.take(till, amount=1), str)
    assert_type(Till.total("EUR"), float)
    assert_type(count("a", limit=2), list[int])
    assert_type(count.local("a"), list[int])
    assert_type(fly_orm.call(fly_orm.PRIMARY, till.take, 1), str)
    till.take("1")  # type: ignore[arg-type]
    count(1)  # type: ignore[arg-type]
