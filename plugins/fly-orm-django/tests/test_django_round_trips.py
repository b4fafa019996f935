"""What Django's operations cost in round trips to the primary region."""

from functools import partial

import django
import pytest
from django.contrib.auth import get_user
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.core.management import call_command
from django.db import connection, transaction
from django.db.models import F
from django.http import HttpRequest
from django.test import Client
from django_regions import in_lax
from django_shop.models import Author, Book, Tag
from psycopg2 import extensions as ext

from tests.support.two_regions import trips

#: By the release of Django, what the migrations of contenttypes, auth and sessions cost.
MIGRATIONS = {(4, 2): (101, 97), (5, 2): (89, 89)}
DEFERRING = {"FLY_ORM": {"defer_transactions": True}}


@pytest.fixture(params=["strict", "deferring"])
def count(request, regions):
    """Counts the round trips of an operation, which has the index of the right number in a row of the table."""
    with in_lax(regions, regions.wan.address, **(DEFERRING if request.param == "deferring" else {})):
        Author.objects.create(name="ann")
        Author.objects.create(name="bob")

        def counted(work, strict, deferring):
            connection.ensure_connection()
            assert trips(regions, work) == (deferring if request.param == "deferring" else strict)

        yield counted


def ann():
    return Author.objects.get(name="ann")


def reads(times=3):
    for _ in range(times):
        ann()


def change():
    Author.objects.filter(name="ann").update(name=F("name"))


def book(title="a"):
    return Book(title=title, author_id=ann().pk)


def in_transaction(*works):
    with transaction.atomic():
        for work in works:
            work()


def nested():
    with transaction.atomic(), transaction.atomic():
        reads()


def test_in_autocommit(count):
    author = ann()
    count(reads, 0, 0)
    count(lambda: list(Author.objects.iterator()), 0, 0)
    count(connection.is_usable, 0, 0)
    count(author.save, 1, 1)
    count(lambda: Author.objects.create(name="cat"), 1, 1)
    count(change, 1, 1)
    count(lambda: Author.objects.get_or_create(name="ann"), 0, 0)
    count(lambda: Author.objects.bulk_create(Author(name=f"n{n}") for n in range(100)), 2, 2)


def test_with_transactions_of_djangos_own(count):
    count(lambda: Author.objects.get_or_create(name="dan"), 2, 2)
    count(lambda: Author.objects.update_or_create(name="ann", defaults={"name": "ann"}), 3, 3)
    one, tag = book(), Tag.objects.create(name="x")
    count(one.save, 1, 1)
    count(lambda: one.tags.add(tag), 2, 2)
    count(lambda: one.tags.add(tag), 2, 2)
    count(one.delete, 3, 3)


def test_in_atomic(count):
    count(lambda: in_transaction(), 0, 0)
    count(lambda: in_transaction(reads), 4, 0)
    count(lambda: in_transaction(reads, change), 5, 2)
    count(lambda: in_transaction(change, reads), 5, 5)
    count(nested, 4, 0)


def test_iterator_in_atomic(count):
    Author.objects.bulk_create(Author(name=f"n{n}") for n in range(98))
    every = lambda: list(Author.objects.order_by("pk").iterator(chunk_size=20))  # noqa: E731
    count(lambda: in_transaction(every), 9, 0)
    count(lambda: in_transaction(change, every), 10, 10)


def test_migrations_and_logins(count):
    migrate = partial(call_command, "migrate", verbosity=0)
    if django.VERSION[:2] in MIGRATIONS:
        count(migrate, *MIGRATIONS[django.VERSION[:2]])
    else:
        migrate()
    user, client, request = User.objects.create_user("ann"), Client(), HttpRequest()
    count(lambda: client.force_login(user), 8, 8)
    request.session = SessionStore(client.session.session_key)
    count(lambda: get_user(request).is_authenticated, 0, 0)
    assert get_user(request) == user
    count(client.logout, 1, 1)


def test_a_level_of_isolation_costs_nothing_by_itself(regions):
    level = {"OPTIONS": {"isolation_level": ext.ISOLATION_LEVEL_READ_COMMITTED}}
    with in_lax(regions, regions.wan.address, **level, **DEFERRING):
        Author.objects.create(name="ann")
        for _ in range(2):
            assert trips(regions, lambda: in_transaction(reads)) == 0
            assert trips(regions, lambda: in_transaction(reads, change)) == 2
