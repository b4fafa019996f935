"""docs/deploy/messages.md has every warning and error that the code can log, and none that it cannot."""

from __future__ import annotations

import ast
import re
from functools import cache

from fly_orm.routing.verdict_messages import MESSAGES
from tests.project.sources import CODE, modules, where
from tests.support import ROOT

LEVELS = {"warning": False, "error": True, "exception": True, "critical": True, "log": None}
#: The texts of the calls whose message is not written out, with whether they are errors; None if that depends.
ELSEWHERE = {
    ("fly_orm/discovery/lookup.py", "…; …"): [("…; the earlier answer stays in use", False)],
    ("fly_orm/protocol/tls.py", "…: …"): [
        ("the certificate in … expires at …", False),
        ("the certificate in … has expired at …, so no channel can be opened: …", True),
    ],
    ("fly_orm/routing/primary_check.py", "…"): [(re.sub(r"{\w+(!r)?}", "…", text), None) for text in MESSAGES.values()],
    ("fly_orm/serving/invoking.py", "…"): [("the database … is a replica", False)],
    ("fly_orm/serving/node.py", "…"): [("the database … is a replica", False)],
}
ELSEWHERE["fly_orm/discovery/lookup.py", "…; …"].append(("…; there is no earlier answer", False))


@cache
def logged():
    """Each message, with `…` for what varies, with whether it is an error, and the place of the call."""
    found = []
    for path in modules(*CODE, "plugins"):
        if "tests" in path.parts or "testing" in path.parts:
            continue
        tree = ast.parse(path.read_text())
        names = {
            node.targets[0].id: node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        }
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LEVELS):
                continue
            if not re.search(r"\blog(ger)?$", ast.unparse(node.func.value)):
                continue
            if node.func.attr == "log" and re.fullmatch(
                r"logging\.INFO.* else logging\.DEBUG", ast.unparse(node.args[0])
            ):
                continue
            given = node.args[node.func.attr == "log"]
            given = names.get(given.id, given) if isinstance(given, ast.Name) else given
            text = re.sub(r"%[-\d.]*[a-z]", "…", ast.literal_eval(given))
            for each, is_error in ELSEWHERE.get((where(path), text), [(text, LEVELS[node.func.attr])]):
                found.append((each, is_error, f"{where(path)}:{node.lineno}"))
    return found


def rows():
    """The patterns in the first column of the page, with whether the row says that it is an error."""
    page = (ROOT / "docs" / "deploy" / "messages.md").read_text()
    cells = [cell for cell in re.findall(r"^\| (.*?) \| ", page, re.MULTILINE) if cell != "the log says"]
    for cell in cells:
        [text] = re.findall(r"^(?:`` ?(.+?) ?``|`([^`]+)`)", cell)
        yield text[0] or text[1], "an error" in cell, "(an error)" in cell


def fits(pattern, message):
    return re.fullmatch(".*".join(map(re.escape, pattern.split("…"))), message, re.DOTALL) is not None


def test_the_page_explains_every_message():
    known, missing = list(rows()), []
    for message, is_error, place in logged():
        found = [(says, always) for pattern, says, always in known if fits(pattern, message)]
        if not any(is_error in (None, says) or (says and not always) for says, always in found):
            missing.append(f"{place}: {'an error' if is_error else 'a warning'}: {message}")
    assert missing == [], "add rows to docs/deploy/messages.md"


def test_the_page_has_each_message_once():
    patterns = [pattern for pattern, _, _ in rows()]
    assert [pattern for pattern in sorted(set(patterns)) if patterns.count(pattern) > 1] == []


def test_the_code_logs_every_message_of_the_page():
    messages, patterns = [message for message, _, _ in logged()], [pattern for pattern, _, _ in rows()]
    assert len(patterns) > 60
    assert [pattern for pattern in patterns if not any(fits(pattern, message) for message in messages)] == []
    assert [pattern for pattern in patterns if not re.search(r"\w{3}", pattern)] == [], "they would fit too much"
