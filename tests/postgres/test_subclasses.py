"""Classes that are made at run time go by the name of what they stand in for."""

from __future__ import annotations

import pickle

import peewee
import psycopg2
import pytest
from psycopg2 import extensions as ext
from psycopg2 import extras

from fly_orm.adapters.peewee.routing import _routed_class
from fly_orm.driver.classes import cursor_classes
from fly_orm.errors import NotDelivered
from fly_orm.postgres.sql_error import _remote_class
from fly_orm.postgres.subclasses import named_like
from fly_orm.routing.errors import as_driver_error


class Base:
    """A base."""

    class Inner:
        """What is imitated."""


def test_the_class_has_the_names_of_the_other_and_its_own_bases_and_attributes():
    made = named_like(Base.Inner, dict, answer=42)
    assert (made.__name__, made.__qualname__, made.__module__) == ("Inner", "Base.Inner", __name__)
    assert (made.__doc__, made.__bases__, made.answer) == ("What is imitated.", (dict,), 42)


@pytest.mark.parametrize(
    ("made", "like"),
    [
        (cursor_classes(extras.DictCursor).local, extras.DictCursor),
        (cursor_classes(ext.cursor).remote, ext.cursor),
        (type(as_driver_error(NotDelivered("x"), peewee)), NotDelivered),
        (_remote_class(psycopg2.DataError), psycopg2.DataError),
        (_routed_class(peewee.Psycopg2Adapter, None), peewee.Psycopg2Adapter),
    ],
)
def test_every_such_class_is_known_by_the_name_that_its_users_know(made, like):
    names = [(cls.__module__, cls.__qualname__, cls.__doc__) for cls in (made, like)]
    assert made is not like
    assert names[0] == names[1]


def test_an_error_of_such_a_class_is_pickled_with_what_it_says():
    error = as_driver_error(NotDelivered("no node", region="syd"), peewee)
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), copy.region) == (type(error), "no node", "syd")
