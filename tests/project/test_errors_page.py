"""docs/errors.md says of each error what the code says of it, and leaves none out."""

from __future__ import annotations

import ast
import re

from fly_orm import errors
from fly_orm.protocol import messages
from fly_orm.protocol import reasons as named
from tests.project.sources import CODE, modules
from tests.support import ROOT

PAGE = (ROOT / "docs" / "errors.md").read_text()
#: By the beginning of each heading in the tree of errors.py, what the page says of the write, and of repeating it.
MEANT = {
    "Nothing was executed, and repeating it will fail": ("was not executed", "no: it fails again"),
    "Nothing was executed, and it is safe": ("was not executed", "yes"),
    "It may have been executed": ("may have been executed", "only after looking"),
    "It was executed": ("was executed", "no"),
    "No write is affected": ("is not affected", ""),
}
#: The reasons by which a node says what became of a request: the caller gets another error than Refused.
OTHERWISE = {"lost", "unknown", "committed before", "result lost", "not portable", "voided"}
#: Those of an InvalidToken, and the default of a class.
TOKENS, DEFAULT = {"forged", "expired", "malformed"}, "refused"


def tree():
    """The errors in the tree of the module, each with the heading that it is below."""
    heading, found = "", {}
    for line in errors.__doc__.split("::\n")[1].splitlines():
        if re.match(r"    │   [A-Z]", line):
            heading = line[8:]
        elif name := re.match(r"    [│ ]*[├└]── (\w+)", line):
            found[name[1]] = heading
    return found


def rows(heading):
    part = PAGE.split(f"{heading}\n", 1)[1].split("\n## ")[0]
    return [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in part.splitlines() if re.match(r"\| \[?`", line)
    ]


def test_the_page_says_of_each_error_what_became_of_the_write():
    said = {row[0].split("`")[1]: (row[1], row[2]) for row in rows("# Errors")}
    meant = {
        name: next(says for beginning, says in MEANT.items() if heading.startswith(beginning))
        for name, heading in tree().items()
    }
    assert said == meant
    assert said.keys() == {*errors.__all__} - {"FlyOrmError"}


def test_the_tree_groups_errors_as_they_are_derived():
    for name in tree():
        parents = {base.__name__ for base in getattr(errors, name).__mro__[1:] if base.__name__ in tree()}
        assert all(tree()[parent] == tree()[name] or parent == "ConfigurationError" for parent in parents), name


def test_the_page_has_all_attributes_of_the_errors():
    listed = {
        (name, cls)
        for names, classes, *_ in rows("Facts are attributes:")
        for name in re.findall(r"`(\w+)`", names)
        for cls in re.findall(r"`(\w+)`", classes) or ["FlyOrmError"]
    }
    own = {
        (name, cls)
        for cls in errors.__all__
        for name in getattr(errors, cls).__annotations__
        if getattr(errors, cls).__module__ == errors.__name__
    }
    assert listed == own


def reasons():
    """Every reason that is written in the code, by which a node declines or a token is refused."""
    found = set()
    for path in modules(*CODE):
        tree = ast.parse(path.read_text())
        names = {**vars(messages), **{name.id: node.value for node, name in assigned(tree)}}
        given = [node.value for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg == "reason"]
        given += [node.value for node, name in assigned(tree) if name.id == "reason"]
        found |= {text for value in given for text in texts(value, names)}
    return found


def assigned(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            yield node, node.targets[0]


def texts(value, names):
    if isinstance(value, str):
        yield value
    elif isinstance(value, ast.Constant):
        yield from texts(value.value, names)
    elif isinstance(value, ast.Name):
        yield from texts(names.get(value.id), names)
    elif isinstance(value, ast.Attribute):  # reasons.BUSY
        yield from texts(vars(named).get(value.attr), names)


def test_the_page_explains_every_reason_for_which_a_node_declines():
    listed = {row[0].strip("`") for row in rows("## Why a node declines")}
    declined = reasons() - OTHERWISE - (TOKENS - {"expired"}) - {DEFAULT}
    assert listed == declined, declined ^ listed


def test_each_error_has_its_section():
    links = set(re.findall(r"^\| \[`\w+`\]\(#(\w+)\)", PAGE, re.MULTILINE))
    assert links == {name.lower() for name in re.findall(r"^### `(\w+)`", PAGE, re.MULTILINE)}
