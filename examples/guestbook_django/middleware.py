"""What is said when a database cannot be reached."""

from __future__ import annotations

from collections.abc import Callable

from django.db import OperationalError
from django.http import HttpRequest, HttpResponse

import fly_orm


class Unavailable:
    """Answers with 503, and what became of a write, when the primary or the local server could not be reached."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self._get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """What Django calls when a view has raised something."""
        if not isinstance(error, (OperationalError, fly_orm.FlyOrmError)):
            return None
        nothing = isinstance(error, (fly_orm.NotDelivered, fly_orm.Refused, fly_orm.TransactionLost))
        saved = "nothing was saved" if nothing or request.method == "GET" else "it is not known whether this was saved"
        return HttpResponse(f"the database cannot be reached; {saved}\n", status=503, content_type="text/plain")
