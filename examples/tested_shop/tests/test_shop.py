import fly_orm
import pytest
from shop import Order, Product, SoldOut, order, page


def test_an_order_takes_from_the_stock():
    Product.create(name="tea", stock=3)
    assert order("tea", 2) == 1
    assert page() == ["tea: 1"]
    with pytest.raises(SoldOut):
        order("tea", 2)
    assert Order.select().count() == 1


def test_an_order_is_one_round_trip(fly_orm_regions):
    Product.create(name="tea", stock=3)
    with fly_orm_regions.assert_round_trips(1):
        order("tea", 2)


def test_a_page_reads_the_replica_next_door(fly_orm_regions):
    Product.create(name="tea", stock=3)
    with fly_orm_regions.assert_local():
        page()


def test_whoever_orders_sees_it(fly_orm_regions):
    Product.create(name="tea", stock=3)
    with fly_orm_regions.late_replica(0.2), fly_orm_regions.assert_fresh():
        order("tea", 2)
        assert Product.get().stock == 1


def test_other_visitors_may_see_an_old_page_while_the_replica_is_late(fly_orm_regions):
    Product.create(name="tea", stock=3)
    with fly_orm_regions.late_replica(), fly_orm.wait_for("none"):
        order("tea", 2)
        assert page() == ["tea: 3"]


def test_without_the_primary_pages_go_on_and_orders_fail(fly_orm_regions):
    Product.create(name="tea", stock=3)
    with fly_orm_regions.cut():
        assert page() == ["tea: 3"]
        with pytest.raises(fly_orm.NotDelivered):
            order("tea", 2)
    assert order("tea", 2) == 1


def test_a_node_that_is_restarted_loses_nothing(fly_orm_regions):
    Product.create(name="tea", stock=3)
    fly_orm_regions.restart_node()
    assert order("tea", 2) == 1
