"""A Django project works in a secondary region as it does on the primary."""

import threading

import pytest
from django.db import connection, connections, transaction, utils
from django_shop.models import Author, Book, Tag

import fly_orm
from tests.support.two_regions import trips

LOCAL, PRIMARY = fly_orm.Route.LOCAL, fly_orm.Route.PRIMARY


def names(alias="default"):
    return sorted(Author.objects.using(alias).values_list("name", flat=True))


def test_reads_run_locally_and_writes_on_the_primary_and_are_read_back(regions):
    for number in range(3):
        Author.objects.create(name=f"author {number}")
        assert fly_orm.why().route is PRIMARY
        assert Author.objects.count() == number + 1
        assert fly_orm.why().route is LOCAL
    assert names("primary") == names() == ["author 0", "author 1", "author 2"]


def test_the_proxies_of_a_monitoring_agent_do_no_harm(agent, regions):
    for number in range(2):
        Author.objects.create(name=f"author {number}")
        assert names() == [f"author {each}" for each in range(number + 1)]
        assert fly_orm.why().route is LOCAL
        assert connection.is_usable()
        connection.close_if_unusable_or_obsolete()
    with transaction.atomic():
        Author.objects.create(name="ann")
    assert any(sql.startswith("SELECT") for sql in agent)


def test_values_are_those_of_django(regions):
    author = Author.objects.create(name="ann")
    book = Book.objects.create(title="a", author=author, data={"pages": [1, 2]})
    with transaction.atomic():
        there = Book.objects.select_for_update().get()
        assert fly_orm.why().route is PRIMARY
    here = Book.objects.get()
    assert fly_orm.why().route is LOCAL
    assert here.pk == there.pk == book.pk
    assert here.data == there.data == {"pages": [1, 2]}


def test_a_transaction_that_raises_is_rolled_back(regions):
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        Author.objects.create(name="ann")
        assert Author.objects.count() == 1
        raise ZeroDivisionError
    assert names() == names("primary") == []


def test_an_error_of_the_primary_is_djangos_own(regions):
    Author.objects.create(name="ann")
    with pytest.raises(utils.IntegrityError) as caught:
        Author.objects.create(name="ann")
    assert caught.value.__cause__.diag.constraint_name.startswith("django_shop_author_name")


def test_the_session_has_the_time_zone_of_the_project_on_both_servers(regions):
    with connection.cursor() as cursor:
        cursor.execute("SHOW timezone")
        assert cursor.fetchone() == ("UTC",)
        with fly_orm.primary():
            cursor.execute("SELECT current_setting('timezone')")
            assert cursor.fetchone() == ("UTC",)
            assert fly_orm.why().route is PRIMARY


def test_all_threads_share_one_router(regions):
    Author.objects.create(name="ann")
    routers = set()

    def read():
        assert names() == ["ann"]
        routers.add(connections["default"].shared.router)
        connections["default"].close()

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert routers == {connections["default"].shared.router}


def test_no_thread_reads_less_than_was_committed_when_it_began_to_read(regions):
    committed, missed = [], []

    def work(number):
        for step in range(10):
            Author.objects.create(name=f"{number}/{step}")
            committed.append(f"{number}/{step}")
            expected = set(committed)
            missed.extend(expected - set(names()))
        connections["default"].close()

    with regions.cluster.apply_delay(0.003):
        threads = [threading.Thread(target=work, args=[number]) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert (len(committed), missed) == (60, [])


def test_an_on_commit_hook_sees_what_was_committed(regions):
    seen = []
    with regions.cluster.apply_delay(0.05), transaction.atomic():
        Author.objects.create(name="ann")
        transaction.on_commit(lambda: seen.append((names(), fly_orm.why().route)))
    assert seen == [(["ann"], LOCAL)]


def test_databases_of_other_kinds_are_left_alone(regions):
    with connections["files"].cursor() as cursor:
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)
    assert fly_orm.wrap is not None


def test_many_to_many(regions):
    book = Book.objects.create(title="a", author=Author.objects.create(name="ann"))
    book.tags.add(Tag.objects.create(name="x"))
    assert [tag.name for tag in book.tags.all()] == ["x"]
    assert trips(regions, lambda: list(book.tags.all())) == 0
