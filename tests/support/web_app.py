"""A web application for tests, in Flask and in Starlette, run as a process of one region.

Start it as ``python -m tests.support.web_app flask|starlette``. The environment names its region and its database.
"""

from __future__ import annotations

import os
import sys

import peewee
from playhouse.db_url import connect

import fly_orm
from fly_orm.web import ASGIMiddleware, WSGIMiddleware

db = fly_orm.wrap(
    connect(os.environ["DATABASE_URL"]),
    replication_timeout=0.2,
)


class Post(peewee.Model):
    title = peewee.TextField()

    class Meta:
        database = db


def write(title: str) -> str:
    with db.connection_context():
        Post.create(title=title)
    return "written"


def read() -> str:
    with db.connection_context():
        return " ".join(post.title for post in Post.select().order_by(Post.id))


def run_flask() -> None:
    from flask import Flask, Response, request
    from werkzeug.serving import make_server

    app = Flask(__name__)
    app.wsgi_app = WSGIMiddleware(app.wsgi_app, reads=request_reads())  # type: ignore[method-assign]

    @app.post("/")
    def post() -> str:
        return write(request.args["title"])

    @app.post("/late")
    def post_late() -> Response:
        """The write is committed when the framework ends the request, as extensions for ORMs do it."""
        db.connect()
        db.begin()
        Post.create(title=request.args["title"])
        return Response("written")

    @app.teardown_request
    def commit(_error: object) -> None:
        if not db.is_closed():
            db.commit()
            db.close()

    @app.get("/")
    def get() -> str:
        return read()

    @app.get("/streamed")
    def stream() -> Response:
        return Response(part for part in read())

    server = make_server("127.0.0.1", 0, app, threaded=True)
    print(server.port, flush=True)
    server.serve_forever()


def run_starlette() -> None:
    import socket

    import uvicorn
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.middleware.base import BaseHTTPMiddleware
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse, Response
    from starlette.routing import Route

    class Another(BaseHTTPMiddleware):
        """Runs what is inside of it in a task of its own."""

        async def dispatch(self, request: Request, call_next: object) -> Response:
            return await call_next(request)  # type: ignore[operator]

    def post(request: Request) -> Response:
        return PlainTextResponse(write(request.query_params["title"]))

    async def post_late(request: Request) -> Response:
        """In the task of the middleware, not in that of the request."""
        return PlainTextResponse(write(request.query_params["title"]))

    def get(_request: Request) -> Response:
        return PlainTextResponse(read())

    app = Starlette(
        routes=[
            Route("/", post, methods=["POST"]),
            Route("/late", post_late, methods=["POST"]),
            Route("/", get),
            Route("/streamed", get),
        ],
        middleware=[Middleware(ASGIMiddleware, reads=request_reads()), Middleware(Another)],  # type: ignore[arg-type]
    )
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    print(listening.getsockname()[1], flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off")).run([listening])


def request_reads() -> bool:
    return os.environ.get("TEST_READS") == "on"


if __name__ == "__main__":
    {"flask": run_flask, "starlette": run_starlette}[sys.argv[1]]()
