"""What a function raises arrives here, and what cannot travel is refused."""

from __future__ import annotations

import re
import threading

import peewee
import psycopg2
import pytest
from pony import orm

import fly_orm
from fly_orm import NotDelivered, NotPortable, NotSupported, OutcomeUnknown, RemoteError, ResultLost
from tests.support import shop


class TestWhatItRaises:
    def test_is_of_the_same_class_with_its_attributes_and_what_was_committed_before_is_seen(self, here):
        with pytest.raises(shop.SoldOut, match="a: only 2 left") as caught:
            shop.sell("a", 2)
        assert (caught.value.item, caught.value.left) == ("a", 2)
        [note] = caught.value.__notes__
        assert re.match(r"Traceback on another node:\nTraceback .*\n  File \".*shop.py\", line \d+, in sell\n", note)
        assert here.names() == ["a"]

    def test_is_a_builtin_error(self, here):
        with pytest.raises(ValueError, match="no good") as caught:
            shop.fail("value", "no good", 3)
        assert caught.value.args == ("no good", 3)

    def test_is_a_remote_error_if_its_class_is_not_known(self, here):
        with pytest.raises(RemoteError, match="why not") as caught:
            shop.fail("unregistered", "why not")
        assert caught.value.class_name == "tests.support.shop.Unregistered"

    def test_never_ends_this_process(self, here):
        with pytest.raises(RemoteError) as caught:
            shop.fail("exit", 3)
        assert caught.value.class_name.endswith("SystemExit")
        assert shop.where()[0] == here.node.pid

    def test_is_what_the_database_said(self, here):
        with pytest.raises(peewee.IntegrityError) as caught:
            shop.duplicate("a")
        assert isinstance(caught.value.orig, psycopg2.errors.UniqueViolation)
        assert caught.value.orig.diag.constraint_name == "item_name"
        assert here.names() == ["a"]

    def test_is_the_models_own_error(self, here):
        with pytest.raises(shop.Item.DoesNotExist):
            shop.fetch("nothing")

    def test_does_not_say_of_this_call_what_is_so_of_another(self, here):
        with pytest.raises(RemoteError, match="of something else") as caught:
            shop.call_outward()
        assert not isinstance(caught.value, NotDelivered)
        assert here.names() == ["outward"]


@pytest.mark.usefixtures("no_spare_channels")
@pytest.mark.parametrize("other", [orm.Database, lambda: peewee.PostgresqlDatabase(None)], ids=["pony", "peewee"])
def test_an_outcome_is_unknown_also_while_another_database_has_no_name_yet(here, other):
    unbound = fly_orm.wrap(other(), settings=here.db._fly_orm.settings)
    shop.where()  # opens the channel
    here.wan.cut_before_reply()
    with pytest.raises(OutcomeUnknown):
        shop.stock(["a"])
    here.wan.heal()
    assert [item.name for item in shop.Item.select()] == ["a"]
    assert unbound is not None  # until here


class TestWhatCannotTravel:
    @pytest.mark.usefixtures("no_spare_channels")
    def test_is_refused_before_anything_is_sent_naming_the_argument(self, here):
        before = here.wan.round_trips
        with pytest.raises(NotPortable, match=r"argument 'names'\[1\].*Event"):
            shop.stock(["a", threading.Event()])
        with pytest.raises(NotPortable, match=r"argument 'values'\[1\]"):
            shop.give_back(1, threading.Event())
        assert here.wan.round_trips == before

    def test_as_a_result_is_said_to_be_lost_after_the_wait(self, here):
        with pytest.raises(ResultLost, match=r"is committed.*the result.*function"):
            shop.cannot_come_back("a")
        assert here.names() == ["a"]

    def test_is_more_than_a_message_holds(self, here):
        with pytest.raises(ResultLost, match="bytes long"):
            shop.too_much("a", 33 * 1024 * 1024)
        assert here.names() == ["a"]
        with pytest.raises(NotSupported, match="bytes long"):
            shop.give_back(b"x" * 33 * 1024 * 1024)
        assert shop.count() == 1
