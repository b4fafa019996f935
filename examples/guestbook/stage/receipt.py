"""Adds to each page of the guest book how it was served, and the switches that let one feel the difference."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from flask import Blueprint, Flask, Response, g, redirect, render_template, request, session

import fly_orm

from .geography import CITIES, round_trip
from .steps import Place, Step, steps

#: By what the page calls it, when a write waits for the replica.
WAITS = {"eager": "write", "lazy": "read", "none": "none"}
FAR = "far"
_COOKIE = "way"
#: What a bar that is full stands for, in milliseconds, unless a statement took longer.
_SCALE = 150.0
#: The receipt of a form travels to the next page in the session's cookie, which has to stay small.
_CARRIED = 8


class Receipt:
    """Traces each request, and shows the trace at the side of the page."""

    def __init__(self, app: Flask, place: Place, ports: dict[str, int], report: Callable[[list[Step]], None]) -> None:
        self._place = place
        self._ports = ports
        self._report = report
        stage = Blueprint("stage", __name__, url_prefix="/-", template_folder="templates", static_folder="static")
        stage.post("/way")(self._switch)
        app.before_request_funcs.setdefault(None, []).insert(0, self._begin)
        app.after_request(self._finish)
        app.teardown_request(self._end)
        app.register_blueprint(stage)

    @property
    def way(self) -> str:
        """How this request is served."""
        chosen = request.cookies.get(_COOKIE, "")
        return FAR if self._place.far else chosen if chosen in WAITS else "eager"

    def _begin(self) -> None:
        if request.endpoint in ("static", "stage.static"):
            return
        g.receipt = ExitStack()
        g.receipt.enter_context(fly_orm.wait_for(WAITS.get(self.way, "write")))  # type: ignore[arg-type]
        g.trace = g.receipt.enter_context(fly_orm.trace())

    def _finish(self, response: Response) -> Response:
        if "trace" not in g:
            return response
        taken = steps(g.trace, self._place)
        self._report(taken)
        if 300 <= response.status_code < 400 and taken:
            session["receipt"] = [step.encode() for step in taken[:_CARRIED]]
        elif response.mimetype == "text/html" and not response.is_streamed:
            response.set_data(self._with_receipt(response.get_data(as_text=True), taken))
        return response

    def _end(self, _error: BaseException | None) -> None:
        if "receipt" in g:
            g.receipt.close()

    def _with_receipt(self, page: str, taken: list[Step]) -> str:
        sent = [Step.decode(fields) for fields in session.pop("receipt", [])]
        if request.method != "GET":
            sent, taken = [*sent, *taken], []
        shown: dict[str, Any] = {
            "place": self._place,
            "way": self.way,
            "cities": CITIES,
            "distance": round(1000 * round_trip(self._place.region, self._place.primary)),
            "groups": [group for group in (("What you sent", sent), ("This page", taken)) if group[1]],
            "sums": _sums([*sent, *taken], self._place.region),
            "scale": max([_SCALE, *(step.total for step in [*sent, *taken])]),
            "books": {region: self._address(region) for region in CITIES},
            "room": f"//{self._host}:{self._ports['room']}/",
            "has_far": self._port(self._place.region, FAR) != self._port(self._place.region, ""),
            "here": request.full_path.rstrip("?") if request.method == "GET" else "/",
        }
        head = render_template("receipt_head.html")
        page = page.replace("</head>", f"{head}</head>", 1)
        return page.replace("<body>", f"<body>{render_template('receipt.html', **shown)}", 1)

    def _switch(self) -> Any:
        """Go on in the way that was chosen: here, or at the application without fly_orm."""
        way = request.form.get("way", "")
        region = self._place.region
        there = request.form.get("here", "/")
        path = there if there.startswith("/") and not there.startswith("//") and there.isprintable() else "/"
        response = redirect(f"{request.scheme}://{self._host}:{self._port(region, way)}{path}")
        if way in WAITS:
            response.set_cookie(_COOKIE, way, samesite="Lax")
        return response

    def _address(self, region: str) -> str:
        """Where the same page is in a region, if possible in the same way."""
        path = request.full_path.rstrip("?") if request.method == "GET" else "/"
        return f"//{self._host}:{self._port(region, self.way)}{path}"

    def _port(self, region: str, way: str) -> int:
        """The port of a region, and there of the application without fly_orm if it is wanted and exists."""
        return self._ports.get(f"{region} {FAR}" if way == FAR else region, self._ports[region])

    @property
    def _host(self) -> str:
        """The name by which the browser knows this machine; its ports are other regions."""
        return request.host.rpartition(":")[0] or request.host


def _sums(taken: list[Step], region: str) -> dict[str, Any]:
    """What all steps took together."""
    return {
        "count": len(taken),
        "total": sum(step.total for step in taken),
        "wait": sum(step.wait for step in taken),
        "here": sum(step.where == region for step in taken),
        "nowhere": sum(not step.where for step in taken),
        "away": sum(step.where not in (region, "") for step in taken),
    }
