"""Instances of peewee's models travel with what they have loaded."""

from __future__ import annotations

import datetime
import gc
import subprocess
import sys
from decimal import Decimal
from typing import Any

import msgspec
import peewee
import pytest

from fly_orm.adapters.loading import load_adapter
from fly_orm.adapters.peewee.models import ModelHandler
from fly_orm.codec import CodecError, add_type_handler, decode, decode_error, encode, encode_error
from fly_orm.errors import ConfigurationError, NotPortable
from tests.support import ROOT

load_adapter("peewee")


class Base(peewee.Model):
    class Meta:
        database = peewee.SqliteDatabase(None)


class User(Base):
    name = peewee.CharField()
    joined = peewee.DateTimeField(default=lambda: pytest.fail("a default is called"))
    balance = peewee.DecimalField(null=True)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if "__no_default__" not in kwargs:
            pytest.fail("__init__ is called")
        super().__init__(*args, **kwargs)


class Tweet(Base):
    user = peewee.ForeignKeyField(User, backref="tweets")
    reply_to = peewee.ForeignKeyField("self", null=True, backref="replies")
    text = peewee.TextField()


class Tag(Base):
    tweet = peewee.ForeignKeyField(Tweet, backref="tags")
    name = peewee.CharField()

    class Meta:
        primary_key = peewee.CompositeKey("tweet", "name")


JOINED = datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc)


@pytest.fixture
def loaded():
    """A user with two tweets, in a database in memory."""
    database = peewee.SqliteDatabase(":memory:")
    with database.bind_ctx([User, Tweet, Tag]), database.connection_context():
        database.create_tables([User, Tweet, Tag])
        User.insert(id=1, name="ann", joined=JOINED.replace(tzinfo=None), balance=Decimal("1.50")).execute()
        Tweet.insert_many([(1, None, "one"), (1, 1, "two")], [Tweet.user, Tweet.reply_to, Tweet.text]).execute()
        Tag.insert(tweet=1, name="t").execute()
        yield database


def back(value: Any) -> Any:
    return decode(encode(value, "the result"))


def state(instance: Any) -> tuple[Any, ...]:
    return type(instance), instance.__data__, instance._dirty


def test_an_instance_arrives_with_its_raw_values():
    user = User(__no_default__=1, id=1, name="ann", joined=JOINED, balance=Decimal("1.50"))
    copy = back(user)
    assert state(copy) == (User, {"id": 1, "name": "ann", "joined": JOINED, "balance": Decimal("1.50")}, set())
    assert copy == user
    assert user._dirty


def test_a_part_of_an_instance_stays_a_part():
    copy = back(User(__no_default__=1, name="ann"))
    assert copy.__data__ == {"name": "ann"}
    assert copy.joined is None


def test_a_list_of_a_query_arrives(loaded):
    tweets = back(list(Tweet.select().order_by(Tweet.id)))
    assert [(t.id, t.user_id, t.reply_to_id, t.text) for t in tweets] == [(1, 1, None, "one"), (2, 1, 1, "two")]
    assert tweets[1].reply_to.text == "one"  # queried when it is asked for
    tweets[0].text = "changed"
    assert tweets[0].dirty_fields == [Tweet.text]
    assert tweets[0].save() == 1
    assert Tweet.get_by_id(1).text == "changed"


def test_related_instances_that_were_loaded_arrive(loaded):
    tweet = back(Tweet.select(Tweet, User).join(User).where(Tweet.id == 2).get())
    assert state(tweet.__rel__["user"])[1]["name"] == "ann"
    reply_to = Tweet.alias()
    query = Tweet.select(Tweet, reply_to).join(reply_to, peewee.JOIN.LEFT_OUTER, on=Tweet.reply_to)
    copies = back(list(query.order_by(Tweet.id)))
    assert copies[1].reply_to.text == "one"


def test_a_related_instance_that_was_found_missing_stays_missing():
    tweet = Tweet(text="x", reply_to=None)
    tweet.__rel__["reply_to"] = None
    assert back(tweet).__rel__ == {"reply_to": None}


def test_aliases_of_a_query_arrive(loaded):
    query = User.select(User, peewee.fn.COUNT(Tweet.id).alias("count")).join(Tweet).group_by(User.id)
    copy = back(list(query))[0]
    assert (copy.name, copy.count) == ("ann", 2)


def test_what_was_prefetched_stays_behind_and_is_loaded_again(loaded):
    (user,) = peewee.prefetch(User.select(), Tweet.select(), Tag.select())
    assert isinstance(vars(user)["tweets"], list)
    copy = back(user)
    assert "tweets" not in vars(copy)
    assert sorted(tweet.text for tweet in copy.tweets) == ["one", "two"]
    tweet = back(user.tweets[0])
    assert tweet.__rel__["user"].name == "ann"


def test_an_attribute_that_cannot_travel_stays_behind():
    user = User(__no_default__=1, name="ann")
    user.lock, user.seen = object(), {"x": 1}
    copy = back(user)
    assert copy.seen == {"x": 1}
    assert not hasattr(copy, "lock")


def test_a_field_that_cannot_travel_is_refused_with_its_place():
    with pytest.raises(NotPortable, match=r"^the result\[0\]\.user\.name: an object cannot travel"):
        encode([Tweet(text="x", user=User(__no_default__=1, id=1, name=object()))], "the result")


def test_instances_that_refer_to_each_other_are_refused():
    one, two = Tweet(id=1, text="one"), Tweet(id=2, text="two")
    one.reply_to, two.reply_to = two, one
    with pytest.raises(NotPortable, match=r"\.reply_to\.reply_to.*: it contains itself"):
        encode(one, "the result")


def test_composite_keys_and_keys_of_dicts_arrive(loaded):
    tag = back(Tag.get())
    assert tag._pk == (1, "t")
    user = User(__no_default__=1, id=1)
    assert back({user: "x"}) == {user: "x"}


def test_a_models_own_does_not_exist_can_be_caught_by_its_name():
    error = User.DoesNotExist("no such user")
    copy = decode_error(encode_error(error))
    with pytest.raises(User.DoesNotExist) as info:
        raise copy
    assert info.value.args == error.args
    assert type(copy) is User.DoesNotExist
    assert type(decode(encode(error, "x"))) is User.DoesNotExist


def test_a_real_query_that_finds_nothing_raises_it(loaded):
    with pytest.raises(Tweet.DoesNotExist) as info:
        Tweet.get_by_id(99)
    assert type(decode_error(encode_error(info.value))) is Tweet.DoesNotExist


def local(**fields: Any) -> Any:
    class Local(Base):
        text = peewee.TextField()

    for name, field in fields.items():
        Local._meta.add_field(name, field)
    return Local


def test_a_model_that_no_module_holds_is_known_while_it_is_the_only_one_of_its_name():
    gc.collect()  # what other tests have made
    model = local()
    assert back(model(text="x")).text == "x"
    assert type(decode_error(encode_error(model.DoesNotExist()))) is model.DoesNotExist
    other = local()
    with pytest.raises(NotPortable, match=r"Local is taken by another model than this instance's"):
        encode(other(text="x"), "the result")
    del other, model
    gc.collect()


def packed(name: str, data: list[Any], rel: list[Any] = (), extras: list[Any] = ()) -> bytes:  # type: ignore[assignment]
    return msgspec.msgpack.encode([26, "peewee", name, [4, *extras], [4, *data], [4, *rel]])


def test_fields_of_another_release_are_named():
    with pytest.raises(CodecError, match=rf"{__name__}:Tweet does not have here colour, size; the two nodes run"):
        decode(packed(f"{__name__}:Tweet", ["text", "x", "size", 1], ["colour", None]))


@pytest.mark.parametrize(
    "name",
    [
        "os:path",
        f"{__name__}:JOINED",
        f"{__name__}:Nothing",
        "peewee:Model",
        "peewee:Field",
        "",
        ":",
        f"{__name__}:User.x",
    ],
)
def test_only_models_are_made(name):
    with pytest.raises(CodecError, match="this process has no model"):
        decode(packed(name, []))


def test_what_peewee_keeps_on_an_instance_cannot_be_forged():
    extras = ["_dirty", 1, "__data__", 2, "__rel__", 3, "seen", 4]
    copy = decode(packed(f"{__name__}:Tweet", ["text", "x"], extras=extras))
    assert vars(copy) == {"__data__": {"text": "x"}, "__rel__": {}, "_dirty": set(), "seen": 4}


def test_installing_again_changes_nothing_and_a_prefix_is_taken_once():
    add_type_handler(ModelHandler())
    assert back(Tweet(text="x")).text == "x"

    class Other:
        prefix = "peewee"

    with pytest.raises(ConfigurationError, match=r"the prefix 'peewee' of .* is taken"):
        add_type_handler(Other())  # type: ignore[arg-type]


def test_the_codec_does_not_import_an_orm():
    code = "import sys, fly_orm.codec as c; print([name for name in ['pony'] if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
