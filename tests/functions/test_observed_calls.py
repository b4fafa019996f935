"""What observers hear of the calls of functions."""

from __future__ import annotations

from typing import Any

import pytest

import fly_orm
from fly_orm.observing import CallServed, CallStarted, RequestExecuted, RequestReceived, Route, StatementServed
from tests.observing.heard import hearing
from tests.support import shop
from tests.support.two_regions import settings


def test_a_call_elsewhere(here: Any) -> None:
    with hearing() as heard:
        shop.stock(["a", "b"])
    (started,), (call,) = heard.of(CallStarted), heard.of(CallServed)
    assert (started.id, started.function) == (call.id, call.function) == (call.id, "tests.support.shop:stock")
    assert (call.route, call.node, call.error) == (Route.PRIMARY, f"syd={here.wan.address}", None)
    assert call.rpc > 0
    assert call.total >= call.rpc + call.wait
    assert (call.statements or 0) >= 2
    assert not heard.of(StatementServed)


def test_a_call_that_raises(here: Any) -> None:
    with hearing() as heard, pytest.raises(ValueError, match="5"):
        shop.fail("value", 5)
    (call,) = heard.of(CallServed)
    assert call.error == "ValueError"


def test_a_call_here(bare: Any) -> None:
    fly_orm.configure(settings("syd"))
    bare.database(bare.cluster.primary).bind(shop.MODELS)
    with hearing() as heard:
        shop.count()
        fly_orm.call("syd", shop.region)
    counted, other = heard.of(CallServed)
    assert (counted.route, counted.node, counted.rpc) == (Route.LOCAL, None, 0.0)
    assert other.function == "tests.support.shop:region"
    assert [each.command for each in heard.of(StatementServed)] == ["SELECT"]


def test_a_function_on_the_node(regions: Any) -> None:
    fly_orm.configure(regions.lax_settings())
    regions.lax()
    with hearing() as heard:
        assert answer() == 42
    (received,), (executed,) = heard.of(RequestReceived)[-1:], heard.of(RequestExecuted)[-1:]
    assert (received.kind, received.function, received.peer) == ("call", f"{__name__}:answer", "127.0.0.1")
    assert (executed.id, executed.function, executed.error) == (received.id, received.function, None)


@fly_orm.on_primary
def answer() -> int:
    return 42
