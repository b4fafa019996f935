"""Functions run next to the primary, with models as arguments and results, and leave nothing behind."""

import pytest
from django.core.exceptions import ValidationError
from django.db import connections, transaction, utils
from django.utils.safestring import SafeString
from django_regions import alone, in_syd
from django_shop import functions
from django_shop.models import Author, Bestseller, Book

import fly_orm
from fly_orm.codec import decode_error, encode_error
from fly_orm.errors import NotPortable
from fly_orm.ledger.table import create_sql
from tests.support.roles import roles

LOCAL = fly_orm.Route.LOCAL


def test_instances_travel_by_primary_key_and_what_is_written_is_read_here(project):
    author = Author.objects.create(name="ann")
    author.name = "not saved"
    books = functions.publish(author, "a", "b")
    assert {type(book) for book in books} == {Book}
    assert fly_orm.why().route is LOCAL
    assert sorted(Book.objects.values_list("title", "pk")) == [(book.title, book.pk) for book in books]
    assert [book._state.db for book in books] == ["default", "default"]
    books[0].title = "c"
    books[0].save()
    assert sorted(Book.objects.values_list("title", flat=True)) == ["b", "c"]
    assert functions.name_of(author) == "ann"
    best = functions.bestseller(author, "best")
    assert type(best) is Bestseller
    assert best.rank == 1


def test_a_class_method_runs_for_the_model_that_it_is_called_for(project):
    author = Author.objects.create(name="ann")
    books = [Book.publish("a", author), Bestseller.publish("b", author=author)]
    assert [(type(book), book.title) for book in books] == [(Book, "a in syd"), (Bestseller, "b in syd")]
    assert list(Bestseller.objects.values_list("title", flat=True)) == ["b in syd"]


def test_what_cannot_travel_is_refused_with_what_to_do(project):
    author = Author.objects.create(name="ann")
    for given, advice in (
        (Author(name="bob"), r"call save\(\) first"),
        (Author(pk=author.pk), r"call save\(\) first"),
        (Author.objects.all(), r"pass list\(…\)"),
        (Author.objects.raw("SELECT 1"), r"pass list\(…\)"),
        (Author.objects, r"pass list\(…\)"),
        (author.books, r"pass list\(…\)"),
    ):
        with pytest.raises(NotPortable, match=advice):
            functions.name_of(given)
    connections["files"].cursor().execute("SELECT 1")
    with pytest.raises(NotPortable, match="does not route"):
        elsewhere = Author(pk=1)
        elsewhere._state.db, elsewhere._state.adding = "files", False
        functions.name_of(elsewhere)
    with pytest.raises(fly_orm.ResultLost, match=r"pass list\(…\)"):
        functions.queryset()


def test_exceptions_are_those_of_django_and_of_the_models(project):
    functions.create("ann")
    functions.create("anna")
    with pytest.raises(Author.DoesNotExist, match="does not exist"):
        functions.find("bob")
    with pytest.raises(Author.MultipleObjectsReturned, match="returned 2"):
        functions.first_two("ann")
    with pytest.raises(utils.IntegrityError) as caught:
        functions.create("ann")
    assert caught.value.__cause__.diag.constraint_name.startswith("django_shop_author_name")
    with pytest.raises(ValidationError) as invalid:
        functions.validate("")
    assert invalid.value.message_dict == {"name": ["This field cannot be blank."]}


def test_an_instance_that_is_gone_is_refused(project):
    author = Author.objects.create(name="ann")
    Author.objects.all().delete()
    with pytest.raises(fly_orm.Refused, match="cannot be loaded"):
        functions.name_of(author)


def test_texts_arrive_as_texts(project):
    lazy, safe = functions.texts()
    assert (lazy, type(lazy)) == ("Monday", str)
    assert (safe, type(safe)) == ("<b>", SafeString)


def test_the_next_function_finds_nothing_of_the_one_before(project):
    functions.leave_open("ann")
    assert functions.left_open() == (False, '"$user", public', 0)


def test_a_function_cannot_be_called_inside_a_transaction(project):
    with transaction.atomic(), pytest.raises(utils.NotSupportedError, match="cannot join the one that is open"):
        functions.create("ann")
    with transaction.atomic(using="files"):
        functions.create("ann")
    assert Author.objects.get().name == "ann"


def test_a_validation_error_of_each_form_arrives_as_it_was():
    one = ValidationError("%(n)s is too much", "much", {"n": 5})
    for error in (one, ValidationError([one, "b"]), ValidationError({"name": [one, "b"], "n": "c"})):
        arrived = decode_error(encode_error(error))
        assert type(arrived) is ValidationError
        assert arrived == error
        assert str(arrived) == str(error)


def test_a_function_is_executed_exactly_once_in_a_transaction(project):
    key = functions.create_once("ann")
    assert Author.objects.get().pk == key
    with fly_orm.operation("bob"):
        first = functions.create_once("bob")
    with fly_orm.operation("bob"):
        assert functions.create_once("bob") == first
    with pytest.raises(utils.IntegrityError):
        functions.create_once("ann")
    assert Author.objects.count() == 2


def test_a_repetition_gets_the_first_result_where_connections_assume_a_role(cluster, tables):
    with roles(cluster, tables, "clerk") as [role], alone(), in_syd(cluster, tables, OPTIONS={"assume_role": role}):
        with connections["primary"].cursor() as cursor:
            cursor.execute(create_sql([role]))
            cursor.execute(f'GRANT ALL ON ALL TABLES IN SCHEMA public TO "{role}"')
            cursor.execute(f'GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO "{role}"')
        made = []
        for _ in range(2):
            with fly_orm.operation("order 1"):
                made.append(functions.create_once("ann"))
        assert made == [Author.objects.get().pk] * 2


def test_a_hook_that_fails_after_the_commit_does_not_make_the_call_fail(project):
    key = functions.create_once("ann", hook_fails=True)
    assert Author.objects.get().pk == key


def test_a_connection_of_a_function_is_used_again_if_its_session_is_as_it_was(project):
    assert functions.backend() == functions.backend()
    functions.leave_open("ann")
    functions.backend()
