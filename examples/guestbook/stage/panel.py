"""The control room: a page with the state of the regions, buttons for what can go wrong, and a chart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask, abort, flash, redirect, render_template, request, send_from_directory

from .chart import HEIGHT, WIDTH, Chart, chart, table
from .geography import CITIES, REGIONS, round_trip
from .receipt import FAR, WAITS
from .stage import Stage

_WAYS = (*WAITS, FAR)


def panel(stage: Stage, numbers: dict[str, int], book_static: str) -> Flask:
    """The application of the control room. ``numbers`` are the ports of the web servers by their names."""
    app = Flask(__name__)
    app.secret_key = stage.secret_key
    app.jinja_env.globals.update(width=WIDTH, height=HEIGHT, cities=CITIES, ways=_WAYS)
    acts: dict[str, Callable[[str], None]] = {
        "pause": stage.pause,
        "resume": stage.resume,
        "cut": stage.cut,
        "heal": stage.heal,
        "kill": stage.kill_node,
        "start": stage.start_node,
        "start_server": stage.start_server,
        "start_web": stage.start_web,
        "promote": stage.promote,
    }

    @app.before_request
    def refuse_other_sites() -> None:
        """A page of another site may not press the buttons."""
        origin = request.headers.get("Origin")
        if request.method == "POST" and origin not in (None, f"{request.scheme}://{request.host}"):
            abort(403)

    @app.get("/")
    def room() -> str:
        host = request.host.rpartition(":")[0] or request.host
        return render_template(
            "panel.html",
            regions=stage.regions(),
            distance=lambda region: round(1000 * round_trip(region, stage.primary)),
            books={region: f"//{host}:{numbers[region]}/" for region in REGIONS},
            room="/",
            visitors=stage.visitors,
            events=list(stage.events),
            chart=drawn(),
        )

    def drawn() -> Chart:
        return chart(stage.history, -request.args.get("at", 0, type=int))

    @app.get("/chart")
    def live_chart() -> str:
        return render_template("chart.html", chart=drawn())

    @app.get("/values")
    def values() -> str:
        return render_template("values.html", seconds=table(stage.history))

    @app.post("/regions/<region>/<act>")
    def act(region: str, act: str) -> Any:
        if region not in REGIONS or act not in acts:
            abort(404)
        try:
            acts[act](region)
        except Exception as error:  # noqa: BLE001  # whatever it is, the control room goes on and shows it
            flash(f"{act} {region} failed: {error}")
        return redirect("/")

    @app.post("/visitors")
    def visitors() -> Any:
        way = request.form.get("way")
        stage.visit(way if way in _WAYS else None)
        return redirect("/")

    @app.get("/book/<path:name>")
    def of_the_book(name: str) -> Any:
        return send_from_directory(book_static, name)

    return app
