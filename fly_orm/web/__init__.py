"""Middleware for web applications: each request is a session that goes on from the client's last one.

:class:`FrameworkMiddleware` is for the authors of a framework's own middleware. Imports ``tokens``, ``sessions`` and
the layers below these. Neither a framework nor ``serving`` is needed.
"""

from .asgi import ASGIMiddleware
from .framework import FrameworkMiddleware, RequestSession
from .wsgi import WSGIMiddleware

__all__ = ["ASGIMiddleware", "FrameworkMiddleware", "RequestSession", "WSGIMiddleware"]
