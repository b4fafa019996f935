"""A user whose next request lands in another region sees what the last one has written."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from functools import partial
from http.client import HTTPConnection
from io import BytesIO
from wsgiref.util import FileWrapper

import pytest

import fly_orm
from examples.two_regions.process import Process
from fly_orm import ConfigurationError, Settings
from fly_orm.lsn import LSN
from fly_orm.position import Position
from fly_orm.protocol.encoding import encode
from fly_orm.protocol.secret import Secrets
from fly_orm.sessions.context import current
from fly_orm.tokens.signing import sign
from fly_orm.topology import Topology
from fly_orm.web import WSGIMiddleware
from fly_orm.web.carrier import MOST_TOKENS, Carrier, is_https
from tests.support.nodes import environment_in, url
from tests.support.two_regions import SECRET, SECRETS, settings

HEADER, COOKIE = "Fly-Orm-Token", "fly_orm_token"


class App:
    """A process of the application in one region."""

    def __init__(self, framework, region, server, regions, *, reads=False):
        environment = {
            **environment_in(region),
            "FLY_ORM_NODES": f"syd={regions.wan.address}",
            "DATABASE_URL": url(server, regions.name),
            "TEST_READS": "on" if reads else "off",
        }
        self.process = Process("tests.support.web_app", framework, environment=environment)

    def __enter__(self):
        self.process.__enter__()
        self.port = int(self.process.hear())
        return self

    def __exit__(self, *error):
        self.process.__exit__(*error)

    def request(self, method, path, **headers):
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, headers=headers)
            response = connection.getresponse()
            body = response.read().decode()
            assert response.status == 200, body
            return Answer(body, response.headers)
        finally:
            connection.close()

    def post(self, title, path="/", **headers):
        return self.request("POST", f"{path}?title={title}", **headers)

    def get(self, path="/", **headers):
        return self.request("GET", path, **headers)


class Answer:
    def __init__(self, body, headers):
        self.body = body
        self.token = headers.get(HEADER)
        self.set_cookie = headers.get("Set-Cookie")

    @property
    def cookie(self):
        return self.set_cookie.partition(";")[0]


@pytest.fixture(params=["flask", "starlette"])
def framework(request):
    return request.param


@pytest.fixture
def start(regions, framework):
    regions.query("CREATE TABLE post (id serial PRIMARY KEY, title text NOT NULL)")
    regions.cluster.wait_for_replica()
    servers = {"syd": regions.cluster.primary, "lax": regions.cluster.replica}
    with ExitStack() as stack:

        def started(**options):
            """The application's processes in syd and in lax."""
            apps = [App(framework, region, server, regions, **options) for region, server in servers.items()]
            return [stack.enter_context(app) for app in apps]

        yield started


def test_in_another_region_by_cookie_or_header(start, regions):
    syd, lax = start()
    assert lax.get().body == ""
    with regions.cluster.replay_paused():
        wrote = syd.post("one")
        assert lax.get().body == ""  # another user's
        assert lax.get(Cookie=f"theme=dark; {wrote.cookie}; other=1").body == "one"
        assert lax.get(**{HEADER: wrote.token}).body == "one"
        again = lax.post("two", Cookie=wrote.cookie)
        assert again.token != wrote.token
        assert lax.get(Cookie=again.cookie).body == "one two"
        assert syd.get(Cookie=again.cookie).body == "one two"


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/", "/late"])
def test_however_late_the_framework_commits_and_in_whatever_task(start, regions, path):
    syd, lax = start()
    with regions.cluster.replay_paused():
        for number, app in enumerate((syd, lax) * 2):
            wrote = app.post(str(number), path)
            assert lax.get(Cookie=wrote.cookie).body.split()[-1] == str(number)


def test_while_the_answer_is_streamed(start, regions):
    syd, lax = start()
    with regions.cluster.replay_paused():
        wrote = syd.post("one")
        assert lax.get("/streamed", Cookie=wrote.cookie).body == "one"


def test_and_no_response_has_a_token_that_tells_nothing_new(start, regions):
    syd, lax = start()
    wrote = syd.post("one")
    for app in (syd, lax):
        assert (app.get().token, app.get().set_cookie) == (None, None)
        assert app.get(Cookie=wrote.cookie).token is None


def test_and_what_it_has_read_if_that_is_asked_for(start, regions):
    syd, lax = start(reads=True)
    with regions.cluster.replay_paused():
        regions.query("INSERT INTO post (title) VALUES ('of another')")
        read = syd.get()
        assert lax.get().body == ""
        assert lax.get(Cookie=read.cookie).body == "of another"


def test_by_a_cookie_that_scripts_cannot_read(start):
    syd, _ = start()
    assert syd.post("one").set_cookie.endswith("; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax")
    assert syd.post("one", **{"X-Forwarded-Proto": "https"}).set_cookie.endswith("; Secure")


def test_with_a_token_that_is_not_valid_is_served_all_the_same(start, regions):
    _, lax = start()
    foreign = sign(encode([{regions.name: Position(LSN(2**50), 1234, 1)}]), SECRETS)
    forged = sign(encode([{regions.name: Position(LSN(2**50), 1234, 1)}]), Secrets("another-secret-long-enough"))
    for token in ("nonsense", forged, foreign, "x" * 5000, ""):
        assert lax.get(Cookie=f"{COOKIE}={token}").body == ""
        assert lax.get(**{HEADER: token}).body == ""


@pytest.mark.usefixtures("no_spare_channels")
def test_even_if_a_request_has_also_written_with_an_outcome_that_is_unknown(regions):
    """Of which the token tells, and no comparison of what was seen fails."""
    fly_orm.configure(settings("lax"))
    db = regions.lax()
    db.execute_sql("CREATE TABLE t (i int)")

    def app(environ, start_response):
        db.execute_sql("INSERT INTO t VALUES (1)")
        return doubtful(environ, start_response)

    def doubtful(environ, start_response):
        regions.wan.cut_before_reply()
        with pytest.raises(fly_orm.OutcomeUnknown):
            db.execute_sql("INSERT INTO t VALUES (2)")
        return answer(environ, start_response, body=[])

    def doubt_in(sent):
        ((_, headers),) = sent
        with fly_orm.session():
            fly_orm.resume(dict(headers)[HEADER])
            return current().watermarks.doubts()[regions.name], f"{COOKIE}={dict(headers)[HEADER]}"

    _, cookie = doubt_in(TestTheMiddleware.served(app))
    for _ in range(2):
        assert TestTheMiddleware.served(partial(answer, body=[]), HTTP_COOKIE=cookie) == [("200 OK", [])]
    with fly_orm.session():  # or the next reply to be lost would be that to a handshake
        db.execute_sql("INSERT INTO t VALUES (3)")
    aged = f"{COOKIE}={sign(encode([{}, {regions.name: 20.0}]), SECRETS)}"
    left, _ = doubt_in(TestTheMiddleware.served(doubtful, HTTP_COOKIE=aged))
    assert left > 20


def answer(environ, start_response, *, body):
    start_response("200 OK", [])
    return body


class TestTheMiddleware:
    """As PEP 3333 has it, whatever an application does."""

    @pytest.fixture(autouse=True)
    def _alone(self):
        fly_orm.configure(Settings())

    @staticmethod
    def served(app, **environ):
        """What a server would send."""
        sent = []

        def start_response(status, headers, exc_info=None):
            sent.append((status, headers))
            return sent.append

        body = WSGIMiddleware(app)(environ, start_response)
        try:
            for part in body:
                assert sent, "a part came before the head"
                sent.append(part)
        finally:
            if hasattr(body, "close"):
                body.close()
        return sent

    @pytest.mark.parametrize("configured", [Settings(), Settings(secret=SECRET)], ids=["no secret", "no itsdangerous"])
    def test_ignores_a_token_where_one_region_needs_nothing_to_verify_it(self, configured, monkeypatch):
        """Of another application on the same host, or of the time when there were several regions."""
        told = sign(encode([{"shop": Position(LSN(8192), 1234, 1)}]), SECRETS)
        fly_orm.configure(configured)
        if configured.secrets:
            monkeypatch.setitem(sys.modules, "itsdangerous", None)
        app = partial(answer, body=[b"one"])
        assert self.served(app, HTTP_COOKIE=f"{COOKIE}={told}", HTTP_FLY_ORM_TOKEN=told) == [("200 OK", []), b"one"]

    def test_lets_a_list_be_a_list(self):
        def app(environ, start_response):
            start_response("200 OK", [("A", "b")])
            return [b"one", b"two"]

        body = WSGIMiddleware(app)({}, lambda *_: None)
        assert body == [b"one", b"two"]
        assert self.served(app) == [("200 OK", [("A", "b")]), b"one", b"two"]

    def test_lets_a_file_be_the_file_that_the_server_sends_by_itself(self):
        app = partial(answer, body=FileWrapper(BytesIO(b"one")))
        sent = []
        body = WSGIMiddleware(app)({"wsgi.file_wrapper": FileWrapper}, lambda *head: sent.append(head))
        assert type(body) is FileWrapper
        assert sent == [("200 OK", [])]
        assert self.served(app, **{"wsgi.file_wrapper": lambda file: file}) == [("200 OK", []), b"one"]

    def test_waits_for_a_generator_to_give_the_head(self):
        def app(environ, start_response):
            start_response("200 OK", [])
            yield b"one"
            yield b"two"

        assert self.served(app) == [("200 OK", []), b"one", b"two"]

    def test_sends_a_head_without_a_body(self):
        def app(environ, start_response):
            start_response("204 No Content", [])
            yield from ()

        assert self.served(app) == [("204 No Content", [])]

    def test_sends_what_is_written_after_the_head(self):
        def app(environ, start_response):
            write = start_response("200 OK", [])
            write(b"one")
            write(b"two")
            return [b"three"]

        assert self.served(app) == [("200 OK", []), b"one", b"two", b"three"]

    def test_replaces_a_head_by_that_of_an_error(self):
        def app(environ, start_response):
            start_response("200 OK", [])
            start_response("500 Oh", [], (ValueError, ValueError(), None))
            return [b"oh"]

        assert self.served(app) == [("500 Oh", []), b"oh"]

    def test_closes_the_body_in_the_context_of_the_request(self):
        sessions = []

        class Body:
            def __iter__(self):
                yield b"one"

            def close(self):
                sessions.append(current())

        def app(environ, start_response):
            start_response("200 OK", [])
            sessions.append(current())
            return Body()

        self.served(app)
        assert sessions[0] is sessions[1]
        assert current() is not sessions[0]

    def test_lets_an_error_through(self):
        def app(environ, start_response):
            raise LookupError("oh")

        with pytest.raises(LookupError):
            self.served(app)

    @pytest.mark.parametrize("max_age", [None, 0, -1, float("inf"), "1"])
    def test_takes_an_age_that_a_cookie_can_have(self, max_age):
        with pytest.raises(ValueError, match="max_age must be a number of seconds"):
            WSGIMiddleware(None, max_age=max_age)

    @pytest.mark.parametrize(
        ("scheme", "forwarded", "https"),
        [
            ("http", "", False),
            ("https", "", True),
            ("http", "https", True),
            ("http", "HTTPS,http", True),
            ("http", "http,https", False),
        ],
    )
    def test_knows_https_by_the_proxy_in_front_of_it(self, scheme, forwarded, https):
        assert is_https(scheme, forwarded) is https

    def test_says_when_the_application_is_made_that_there_is_no_secret(self):
        fly_orm.configure(Settings(topology=Topology(region="lax", primary_region="syd")))
        with pytest.raises(ConfigurationError, match="set FLY_ORM_SECRET"):
            WSGIMiddleware(None)


def test_so_many_cookies_are_not_looked_at(caplog):
    caplog.set_level("INFO", "fly_orm")
    fly_orm.configure(settings("lax"))
    with fly_orm.session():
        Carrier().resume([f"{COOKIE}=forged; " * 1000], ["forged"] * 1000)
    assert 0 < len([record for record in caplog.records if "ignored the token" in record.message]) <= 2 * MOST_TOKENS


@pytest.mark.parametrize("middleware", ["WSGIMiddleware", "ASGIMiddleware"])
def test_it_fails_at_start_without_what_signs_tokens(middleware):
    code = (
        "import sys; sys.modules['itsdangerous'] = None\n"
        f"from fly_orm.web import {middleware}\n"
        f"try: {middleware}(None)\n"
        "except ValueError as error: print(error)"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment_in("lax")
    ).stdout
    assert "tokens are signed with itsdangerous, which is not installed: pip install" in said
