"""A browser that sends several requests at a time sees all that they have written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import fly_orm
from fly_orm.web import ASGIMiddleware, WSGIMiddleware
from fly_orm.web.carrier import MOST_COOKIES
from tests.support.one_table import TABLE
from tests.support.two_regions import TwoRegions

Headers = list[tuple[str, str]]


class Browser:
    """Its cookies, as responses arrive."""

    def __init__(self, serve: Callable[[str, str], Headers]) -> None:
        self._serve = serve
        self.cookies: dict[str, str] = {}

    def send(self, name: str = "") -> Headers:
        """The headers of the response to a request that writes the name, or reads; it has not arrived yet."""
        return self._serve(name, "; ".join(f"{name}={value}" for name, value in self.cookies.items()))

    def receive(self, headers: Headers) -> Headers:
        """The cookies that a response sets or removes."""
        found = [(name, text) for name, text in headers if name.lower() == "set-cookie"]
        for _, text in found:
            cookie, *attributes = text.split("; ")
            name, _, value = cookie.partition("=")
            self.cookies.pop(name, None)
            if "Max-Age=0" not in attributes:
                self.cookies[name] = value
        return found

    def read(self) -> list[str]:
        """The names that a request reads."""
        headers = self.send()
        self.receive(headers)
        return dict(headers)["Names"].split()


@pytest.fixture(params=["wsgi", "asgi"])
def browser(request: pytest.FixtureRequest, regions: TwoRegions) -> Browser:
    """A browser that writes in syd and reads in lax."""
    regions.query(TABLE)
    regions.cluster.wait_for_replica()
    fly_orm.configure(regions.lax_settings(replication_timeout=0.05))
    db = regions.lax(options={"settings": regions.lax_settings(replication_timeout=0.05), "wait": "read"})

    def names(name: str) -> str:
        if name:
            db.execute_sql("INSERT INTO t (name) VALUES (%s)", (name,))
            return ""
        return " ".join(row[0] for row in db.execute_sql("SELECT name FROM t ORDER BY id"))

    def wsgi(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Names", names(environ["PATH_INFO"]))])
        return [b""]

    async def asgi(scope: Any, _receive: Any, send: Any) -> None:
        head = [(b"Names", names(scope["path"]).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": head})

    def serve(name: str, cookie: str) -> Headers:
        found: Headers = []
        if request.param == "wsgi":
            app = WSGIMiddleware(wsgi)
            app({"PATH_INFO": name, "HTTP_COOKIE": cookie}, lambda _status, headers: found.extend(headers))
            return found

        async def send(message: Any) -> None:
            found.extend((name.decode(), value.decode()) for name, value in message["headers"])

        scope = {"type": "http", "path": name, "headers": [(b"cookie", cookie.encode())]}
        asyncio.run(ASGIMiddleware(asgi)(scope, None, send))  # type: ignore[arg-type]
        return found

    return Browser(serve)


def test_in_whatever_order_their_responses_arrive(browser: Browser, regions: TwoRegions) -> None:
    browser.receive(browser.send("zero"))
    early = browser.send("one")
    regions.cluster.wait_for_replica()
    with regions.cluster.replay_paused():
        for headers in (browser.send("two"), early):
            browser.receive(headers)
        assert len(browser.cookies) == 2
        assert browser.read() == ["zero", "one", "two"]
        browser.receive(browser.send("three"))
        assert len(browser.cookies) == 1
        assert browser.read() == ["zero", "one", "two", "three"]


def test_without_more_and_more_cookies(browser: Browser, regions: TwoRegions) -> None:
    names = [str(number) for number in range(MOST_COOKIES + 1)]
    for headers in list(map(browser.send, names)):
        browser.receive(headers)
    assert len(browser.cookies) == len(names)
    assert browser.read() == names
    assert len(browser.cookies) == 1
    regions.cluster.wait_for_replica()
    assert browser.receive(browser.send()) == []


def test_and_leaves_the_cookies_of_others_alone(browser: Browser) -> None:
    others = {"fly_orm_token_of_mine": "1", "fly_orm_token_12345678": "forged", "theme": "dark"}
    browser.cookies |= others
    browser.receive(browser.send("one"))
    assert others.items() < browser.cookies.items()
    assert browser.read() == ["one"]
