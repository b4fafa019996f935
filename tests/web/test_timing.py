"""The Server-Timing header of the middlewares."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

import fly_orm
from fly_orm.observing.listeners import listeners
from fly_orm.web import ASGIMiddleware, WSGIMiddleware
from tests.support.two_regions import TwoRegions

#: The syntax of the header (W3C, Server Timing, section 2).
METRIC = re.compile(r'(\w+);desc="([^"]*)";dur=(\d+\.\d)')


@pytest.fixture
def db(regions: TwoRegions) -> Any:
    """A database in lax, the settings of whose process are those of lax."""
    fly_orm.configure(regions.lax_settings())
    regions.query("CREATE TABLE t (id serial PRIMARY KEY)")
    regions.cluster.wait_for_replica()
    return regions.lax()


@pytest.fixture(params=["WSGI", "ASGI"])
def serve(request: pytest.FixtureRequest) -> Callable[..., dict[str, str]]:
    """The headers of a response, by name: what ``work`` does comes before them, and what ``stream`` does after."""
    return served_by_wsgi if request.param == "WSGI" else served_by_asgi


def served_by_wsgi(work: Callable[[], object], stream: Callable[[], object] = str, **options: Any) -> dict[str, str]:
    sent: list[list[tuple[str, str]]] = []

    def app(_environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        work()
        start_response("200 OK", [("Server-Timing", "app;dur=1"), ("Content-Type", "text/plain")])
        return parts()

    def parts() -> Iterator[bytes]:
        yield b"a"
        stream()
        yield b"b"

    def start_response(_status: str, headers: list[tuple[str, str]], _exc_info: Any = None) -> Callable[[bytes], None]:
        sent.append(headers)
        return lambda _: None

    body: Any = WSGIMiddleware(app, **options)({"wsgi.url_scheme": "http"}, start_response)
    assert b"".join(body) == b"ab"
    body.close()
    return joined(sent[0])


def served_by_asgi(work: Callable[[], object], stream: Callable[[], object] = str, **options: Any) -> dict[str, str]:
    sent: list[Any] = []

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await asyncio.to_thread(work)
        headers = [(b"server-timing", b"app;dur=1"), (b"content-type", b"text/plain")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await asyncio.to_thread(stream)
        await send({"type": "http.response.body", "body": b"ab"})

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request"}

    asyncio.run(ASGIMiddleware(app, **options)({"type": "http", "headers": []}, receive, send))
    return joined([(name.decode(), value.decode()) for name, value in sent[0]["headers"]])


def joined(headers: list[tuple[str, str]]) -> dict[str, str]:
    """The headers as a client sees them: the fields of one name are a list (RFC 9110, section 5.2)."""
    found: dict[str, str] = {}
    for name, value in headers:
        found[name.title()] = ", ".join(filter(None, [found.get(name.title()), value]))
    return found


def test_it_says_what_the_statements_have_taken(db: Any, serve: Callable[..., dict[str, str]]) -> None:
    def work() -> None:
        db.execute_sql("SELECT * FROM t")
        db.execute_sql("SELECT 1")
        db.execute_sql("INSERT INTO t DEFAULT VALUES")

    headers = serve(work, lambda: db.execute_sql("SELECT 'too late'"), timing=True)
    assert headers["Server-Timing"].startswith("app;dur=1, local;")
    assert headers["Content-Type"] == "text/plain"
    metrics = {name: (text, float(ms)) for name, text, ms in METRIC.findall(headers["Server-Timing"])}
    assert {name: text for name, (text, _) in metrics.items()} == {
        "local": "2 local statements",
        "primary": "1 on the primary, 1 round trip",
        "wait": "1 wait for the replica",
    }
    assert metrics["local"][1] > 0
    assert metrics["primary"][1] > 0
    assert not listeners.statements


def test_nothing_is_kept_of_what_comes_after_the_header(serve: Callable[..., dict[str, str]]) -> None:
    """A response may be streamed for days."""
    observed = []
    serve(str, lambda: observed.append(listeners.statements), timing=True)
    assert observed == [False]


def test_nothing_is_kept_of_a_web_socket() -> None:
    observed = []

    async def app(_scope: Any, _receive: Any, _send: Any) -> None:
        observed.append(listeners.statements)

    async def nothing(*_: Any) -> Any:
        return None

    asyncio.run(ASGIMiddleware(app, timing=True)({"type": "websocket", "headers": []}, nothing, nothing))
    assert observed == [False]


def test_it_is_off_unless_it_is_wanted(db: Any, serve: Callable[..., dict[str, str]]) -> None:
    assert serve(lambda: db.execute_sql("SELECT 1"))["Server-Timing"] == "app;dur=1"


def test_a_response_without_statements_has_none(db: Any, serve: Callable[..., dict[str, str]]) -> None:
    assert serve(str, timing=True)["Server-Timing"] == "app;dur=1"


def test_nothing_is_traced_after_an_application_that_fails(db: Any) -> None:
    def fail(*_: Any) -> Any:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        WSGIMiddleware(fail, timing=True)({"wsgi.url_scheme": "http"}, lambda *_: None)
    assert not listeners.statements
