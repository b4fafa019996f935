"""Middleware for web applications: each request is a session that goes on from the client's last one.

Imports ``tokens``, ``sessions`` and the layers below these. Neither a framework nor ``serving`` is needed.
"""

from .asgi import ASGIMiddleware
from .wsgi import WSGIMiddleware

__all__ = ["ASGIMiddleware", "WSGIMiddleware"]
