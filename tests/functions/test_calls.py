"""Functions that run in the primary region, on nodes that are processes of their own."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

import fly_orm
from fly_orm import Route
from tests.support import shop
from tests.support.two_regions import settings, trips


class TestACall:
    def test_runs_on_a_node_of_the_primary_region_and_is_read_back_here(self, here):
        assert shop.where() == (here.node.pid, "syd", True)
        item = shop.stock(["a", "b"], price=3)
        served = fly_orm.why()
        assert (item.name, item.price, served.route, served.node) == ("b", 3, Route.PRIMARY, f"syd={here.wan.address}")
        assert here.names() == ["a", "b"]
        assert served.rpc > 0

    @pytest.mark.usefixtures("no_spare_channels")
    def test_costs_one_round_trip(self, here):
        shop.where()  # opens the channel
        assert trips(here, lambda: shop.stock([str(number) for number in range(50)])) == 1

    def test_can_be_run_here_instead(self, here):
        assert shop.where.local() == (os.getpid(), "lax", False)
        shop.stock.local(["a"])
        assert here.names() == ["a"]

    def test_in_the_primary_region_is_a_plain_call(self, bare):
        fly_orm.configure(settings("syd"))
        bare.database(bare.cluster.primary).bind(shop.MODELS)
        assert shop.where() == (os.getpid(), "syd", True)
        unportable = object()
        assert shop.give_back(unportable) == ((unportable,), {})
        assert fly_orm.call(fly_orm.PRIMARY, shop.region) == "syd"

    def test_names_a_region(self, here):
        assert fly_orm.call(fly_orm.PRIMARY, shop.region) == "syd"
        assert fly_orm.call("syd", shop.where)[0] == here.node.pid
        assert fly_orm.call("lax", shop.region) == "lax"
        with pytest.raises(fly_orm.NoNode, match="no node in region 'ams'"):
            fly_orm.call("ams", shop.region)

    def test_takes_a_method_as_well(self, here):
        keeper = shop.Keeper(name="ann")
        assert fly_orm.call("syd", keeper.greet, "bob") == "ann greets bob in syd"
        assert fly_orm.call("lax", keeper.greet, "bob") == "ann greets bob in lax"

    def test_keeps_types(self, here):
        till = shop.give_back(shop.Till(3), (1, {2}), key=shop.Size.LARGE)
        assert (till[0][0].takings, till[0][1], till[1]) == (3, (1, {2}), {"key": shop.Size.LARGE})

    def test_takes_and_returns_model_instances(self, here):
        shop.stock(["a"])
        item = shop.Item.get()
        (back,), _ = shop.give_back(item)
        assert (type(back), back.__data__, back.dirty_fields) == (shop.Item, item.__data__, [])
        assert shop.fetch("a") == item

    def test_of_a_method_takes_its_instance_along(self, here):
        assert shop.Keeper(name="ann").greet("bob") == "ann greets bob in syd"
        assert shop.Keeper(name="ann").greet.local("bob") == "ann greets bob in lax"

    def test_with_arguments_that_do_not_fit_is_a_type_error_before_anything_is_sent(self, here):
        with pytest.raises(TypeError, match="unexpected keyword"):
            shop.count(unknown=1)

    def test_by_many_threads_at_once(self, here):
        with ThreadPoolExecutor(16) as pool:
            pids = set(pool.map(lambda number: stock_and_read(here, number), range(48)))
        assert pids == {here.node.pid}
        assert len(here.stored()) == 48


def stock_and_read(here, number):
    with here.db.connection_context():
        shop.stock([f"item {number}"])
        assert shop.Item.get(shop.Item.name == f"item {number}")
        assert fly_orm.why().route is Route.LOCAL
        return shop.where()[0]
