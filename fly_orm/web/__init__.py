"""Middleware for web applications: each request is a session, which goes on from the user's last one."""

from .asgi import ASGIMiddleware
from .wsgi import WSGIMiddleware

__all__ = ["ASGIMiddleware", "WSGIMiddleware"]
