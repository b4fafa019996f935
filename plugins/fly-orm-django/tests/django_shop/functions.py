"""Functions that run in the primary region. Tests import them in lax, and a node of another process serves them."""

from django.db import connection, transaction
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy

import fly_orm

from .models import Author, Bestseller, Book


@fly_orm.on_primary
def publish(author, *titles):
    """Create books of an author, and return them."""
    with transaction.atomic():
        return [Book.objects.create(title=title, author=author) for title in titles]


@fly_orm.on_primary
def name_of(author):
    """What the primary says that an author is called."""
    return Author.objects.get(pk=author.pk).name


@fly_orm.on_primary
def bestseller(author, title):
    """A book of a model that inherits from another one."""
    return Bestseller.objects.create(title=title, author=author)


@fly_orm.on_primary
def find(name):
    """An author, or the model's own exception."""
    return Author.objects.get(name=name)


@fly_orm.on_primary
def first_two(name):
    """Two authors where one is expected."""
    return Author.objects.get(name__startswith=name)


@fly_orm.on_primary
def create(name):
    """Create an author."""
    return Author.objects.create(name=name).pk


@fly_orm.on_primary
def validate(name):
    """Raise what full_clean() raises."""
    Author(name=name).full_clean()


@fly_orm.on_primary
def queryset():
    """Return what cannot travel."""
    return Author.objects.all()


@fly_orm.on_primary
def texts():
    """Texts that are not plain."""
    return gettext_lazy("Monday"), mark_safe("<b>")


@fly_orm.on_primary
def leave_open(name):
    """Begin a transaction, and never end it."""
    transaction.atomic().__enter__()
    with connection.cursor() as cursor:
        cursor.execute("SET search_path TO nowhere, public")
    Author.objects.create(name=name)


@fly_orm.on_primary
def left_open():
    """What a function finds of the one before."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW search_path")
        return connection.in_atomic_block, cursor.fetchone()[0], Author.objects.count()


@fly_orm.on_primary(exactly_once=True)
def create_once(name, *, hook_fails=False):
    """Create an author, with a hook that runs after the commit."""

    def hook():
        if hook_fails:
            raise RuntimeError("the hook fails")

    transaction.on_commit(hook)
    with transaction.atomic():
        return Author.objects.create(name=name).pk


@fly_orm.on_primary
def backend():
    """The process id of the Postgres session that serves a function."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return cursor.fetchone()[0]
