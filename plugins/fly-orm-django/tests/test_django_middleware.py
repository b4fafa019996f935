"""A user whose next request reaches a late replica sees what the last one has written."""

import asyncio
import re

import pytest
from asgiref.sync import sync_to_async
from django.db import connections
from django.test import AsyncClient, Client, override_settings
from django_regions import in_lax

import fly_orm
from tests.support.two_regions import trips

HEADER = "Fly-Orm-Token"


def token_of(response, name="fly_orm_token"):
    """The cookie with the token of a response; None if it has none."""
    ours = re.compile(rf"{name}_[0-9a-f]{{8}}").fullmatch
    found = [cookie for key, cookie in response.cookies.items() if ours(key) and cookie.value]
    assert len(found) < 2
    return found[0] if found else None


@pytest.fixture
def late(regions):
    """Regions whose replica shows nothing new, for which nobody waits long."""
    with in_lax(regions, regions.wan.address, FLY_ORM={"replication_timeout": 0.05}):
        assert Client().get("/names").content == b""  # connects
        with regions.cluster.replay_paused():
            yield regions


def test_the_cookie_of_a_write_lets_the_next_request_see_it(late):
    user = Client()
    written = user.post("/names", {"name": "ann"})
    cookie = token_of(written)
    assert cookie.value == written.headers[HEADER]
    assert (cookie["path"], cookie["httponly"], cookie["samesite"], cookie["secure"]) == ("/", True, "Lax", "")
    assert user.get("/names").content == b"ann"
    assert Client().get("/names").content == b""
    assert Client().get("/names", headers={HEADER: cookie.value}).content == b"ann"
    assert token_of(Client().get("/names")) is None
    assert token_of(user.post("/names", {"name": "bob"}, secure=True))["secure"]


def test_what_is_read_while_a_response_is_sent_belongs_to_its_request(late):
    user = Client()
    user.post("/names", {"name": "ann"})
    assert list(user.get("/stream").streaming_content) == [b"ann"]
    assert list(Client().get("/stream").streaming_content) == []


def test_a_request_leaves_the_session_around_it_alone(late):
    with fly_orm.session():
        Client().post("/names", {"name": "ann"})
        assert fly_orm.why() is None


def test_views_may_be_async(late):
    async def visit():
        user = AsyncClient()
        written = await user.post("/names_async", {"name": "ann"})
        assert token_of(written) is not None
        assert (await user.get("/names_async")).content == b"ann"
        assert (await AsyncClient().get("/names_async")).content == b""
        assert [part async for part in (await user.get("/stream_async")).streaming_content] == [b"ann"]
        assert [part async for part in (await AsyncClient().get("/stream_async")).streaming_content] == []
        assert (await user.get("/names")).content == b"ann"
        await sync_to_async(connections.close_all)()

    asyncio.run(visit())


def test_the_settings_have_the_options(regions):
    with override_settings(FLY_ORM_MIDDLEWARE={"cookie": "seen", "timing": True, "max_age": 5}):
        written = Client().post("/names", {"name": "ann"})
        assert token_of(written, "seen")["max-age"] == "5"
        assert written.headers["Server-Timing"].startswith("local")
    with override_settings(FLY_ORM_MIDDLEWARE={"coookie": "seen"}), pytest.raises(TypeError, match="coookie"):
        Client().get("/names")


@pytest.mark.parametrize(("defers", "reading"), [(False, 2), (True, 0)])
def test_a_request_that_is_one_transaction(regions, defers, reading):
    options = {"ATOMIC_REQUESTS": True, "FLY_ORM": {"defer_transactions": defers}}
    with in_lax(regions, regions.wan.address, **options):
        user = Client()
        assert user.get("/in_transaction").content == b"True"
        user.post("/names", {"name": "ann"})
        assert trips(regions, lambda: user.post("/names", {"name": "bob"})) == 3  # which also reads
        assert trips(regions, lambda: user.get("/names")) == reading
        assert user.get("/names").content == b"ann bob"
