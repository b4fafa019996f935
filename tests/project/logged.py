"""The records that fly_orm logs, as a table for the documentation: ``python -m tests.project.logged``."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.project.sources import CODE, modules

_METHODS = {"debug", "info", "warning", "error", "exception", "log"}
_PLACEHOLDER = re.compile(r"(%[-.0-9]*[a-z])+")
#: The most characters of a message that the table shows.
_SHOWN = 72


class Logged(NamedTuple):
    """A call of a logger in the code."""

    place: str
    logger: str
    level: str
    event: str
    fields: tuple[str, ...]
    message: str


def calls() -> Iterator[Logged]:
    """The calls of loggers; one without a literal ``event`` has an empty one."""
    for path in modules(*CODE, "plugins/fly-orm-nats/fly_orm_nats"):
        tree = ast.parse(path.read_text())
        logger = "fly_orm"
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "logging.getLogger":
                name = node.args[0]
                package = path.parts[path.parts.index(CODE[1]) :][:2] if CODE[1] in path.parts else ("fly_orm_nats",)
                logger = name.value if isinstance(name, ast.Constant) else ".".join(package)
        for node in ast.walk(tree):
            called = ast.unparse(node.func).partition(".") if isinstance(node, ast.Call) else ("", "", "")
            if isinstance(node, ast.Call) and called[0] == "log" and called[2] in _METHODS:
                yield _logged(path, node, called[2], logger)


def _logged(path: Path, call: ast.Call, method: str, logger: str) -> Logged:
    arguments = call.args[1:] if method == "log" else call.args
    levels = re.findall(r"ERROR|WARNING|INFO|DEBUG", ast.unparse(call.args[0])) if method == "log" else [method.upper()]
    level = " or ".join(levels or ["WARNING", "ERROR"]).replace("EXCEPTION", "ERROR")
    extra = next((each.value for each in call.keywords if each.arg == "extra"), None)
    pairs: dict[str, ast.expr] = {}
    if isinstance(extra, ast.Dict):
        pairs = {key.value: value for key, value in zip(extra.keys, extra.values, strict=True)}  # type: ignore[union-attr, misc]
    event = pairs.pop("event", None)
    name = event.value if isinstance(event, ast.Constant) else ""
    template = arguments[0].value if isinstance(arguments[0], ast.Constant) else ""
    message = _PLACEHOLDER.sub("…", template).strip("… ,:;")
    shown = f"{message[:_SHOWN].rsplit(' ', 1)[0]} …" if len(message) > _SHOWN else message
    return Logged(f"{path.name}:{call.lineno}", logger, level, name, tuple(pairs), shown)


def table() -> list[str]:
    """The rows of the table, sorted by logger and event."""
    found: dict[tuple[str, str], list[Logged]] = {}
    for call in calls():
        if call.event:
            found.setdefault((call.logger, call.event), []).append(call)
    rows = []
    for (logger, event), group in sorted(found.items()):
        fields = ", ".join(f"`{name}`" for name in dict.fromkeys(name for each in group for name in each.fields))
        levels = " or ".join(dict.fromkeys(each.level for each in group))
        messages = "; ".join(dict.fromkeys(each.message for each in group if each.message))
        rows.append(f"| `{logger}` | `{event}` | {levels} | {fields} | {messages.replace('|', '/')} |")
    return rows


if __name__ == "__main__":
    print(*table(), sep="\n")
