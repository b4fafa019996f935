"""The tests of the project, which manage.py runs in a secondary region."""

from http.client import HTTPConnection

from django.db import connection, transaction
from django.test import LiveServerTestCase, TestCase, TransactionTestCase, tag

import fly_orm

from . import functions
from .models import Author


class InTransaction(TestCase):
    @classmethod
    def setUpTestData(cls):
        Author.objects.create(name="ann")

    def test_one(self):
        assert connection.settings_dict["NAME"].startswith("test_")
        Author.objects.create(name="bob")
        assert Author.objects.count() == 2

    def test_two(self):
        with self.captureOnCommitCallbacks(execute=True) as hooks:
            transaction.on_commit(lambda: Author.objects.create(name="cat"))
        assert len(hooks) == 1
        assert Author.objects.count() == 2


class Committing(TransactionTestCase):
    def test_one(self):
        Author.objects.create(name="ann")
        assert Author.objects.get().name == "ann"
        assert fly_orm.why().route is fly_orm.Route.LOCAL

    @tag("function")  # which uses the test database, and not a clone of it
    def test_two(self):
        assert functions.create("ann") == Author.objects.get().pk


class Live(LiveServerTestCase):
    def request(self, method, **options):
        client = HTTPConnection(self.server_thread.host, self.server_thread.port, timeout=60)
        client.request(method, "/names", **options)
        return client.getresponse().read()

    def test_both_see_what_the_other_writes(self):
        Author.objects.create(name="ann")
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        assert self.request("POST", body="name=bob", headers=form) == b"ann bob"
        assert Author.objects.count() == 2
