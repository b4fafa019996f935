"""A job sees what the session had seen that asked for it."""

from __future__ import annotations

import asyncio
import inspect

import pytest

import fly_orm
from examples.two_regions.process import Process
from fly_orm import ConfigurationError, InvalidToken, carried, carry, session
from fly_orm.sessions.context import current
from tests.support.nodes import environment_in, url
from tests.support.two_regions import settings


@pytest.fixture
def process(regions, tmp_path):
    """Makes a process of the application."""

    def made(command, region, server):
        environment = {
            **environment_in(region),
            "FLY_ORM_NODES": f"syd={regions.wan.address}",
            "DATABASE_URL": url(server, regions.name),
            "TEST_QUEUE": str(tmp_path / "queue.db"),
        }
        return Process("tests.support.job_queue", command, environment=environment)

    return made


def test_through_a_real_queue_to_a_worker_in_another_region(regions, process):
    regions.query("CREATE TABLE post (id serial PRIMARY KEY, title text NOT NULL)")
    regions.cluster.wait_for_replica()
    with (
        process("work", "lax", regions.cluster.replica) as worker,
        process("write", "syd", regions.cluster.primary) as app,
    ):
        assert worker.hear() == "ready"
        with regions.cluster.replay_paused():
            for heard, seen in (("one", "one"), ("two", "one,two")):
                app.tell(heard)
                untold, told = app.hear(), app.hear()
                assert (untold, told) == ("", seen)


class TestACarriedFunction:
    @pytest.fixture(autouse=True)
    def _configured(self):
        fly_orm.configure(settings("lax"))

    @pytest.fixture
    def told(self, regions):
        regions.query("CREATE TABLE t (i int)")
        with session():
            regions.lax().execute_sql("INSERT INTO t VALUES (1)")
            return carry()

    def test_runs_in_a_session_of_its_own(self, told):
        @carried
        def watermarks():
            """What it does."""
            return current().watermarks.positions()

        outside = current().watermarks.positions()
        assert len(watermarks(**told)) == 1
        assert watermarks() == {}
        assert current().watermarks.positions() == outside
        assert (watermarks.__name__, watermarks.__doc__) == ("watermarks", "What it does.")

    def test_may_be_a_coroutine(self, told):
        @carried
        async def watermarks(number):
            await asyncio.sleep(0)
            return number, len(current().watermarks.positions())

        assert inspect.iscoroutinefunction(watermarks)
        assert asyncio.run(watermarks(5, **told)) == (5, 1)

    def test_takes_the_token_as_one_more_argument(self):
        @carried
        def job(a, b=2, *rest, c, **others):
            return a, b, rest, c, others

        assert str(inspect.signature(job)) == "(a, b=2, *rest, c, fly_orm_token: str = '', **others)"
        assert job(1, 2, 3, c=4, d=5, fly_orm_token="") == (1, 2, (3,), 4, {"d": 5})

    def test_is_no_generator(self):
        def generator():
            yield 1

        with pytest.raises(ConfigurationError, match="is a generator"):
            carried(generator)

    def test_runs_with_a_token_that_is_too_old_but_with_no_other(self, told, monkeypatch, caplog):
        @carried
        def watermarks():
            return current().watermarks.positions()

        with pytest.raises(InvalidToken):
            watermarks(fly_orm_token="forged")
        monkeypatch.setattr("itsdangerous.TimestampSigner.get_timestamp", lambda self: 2**33)
        assert watermarks(**told) == {}
        assert "has seen nothing: the token was signed" in caplog.text

    def test_runs_in_one_region_that_has_no_secret(self, told):
        @carried
        def watermarks():
            return current().watermarks.positions()

        fly_orm.configure(fly_orm.Settings())
        assert watermarks(**told) == {}
