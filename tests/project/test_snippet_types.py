"""Every piece of Python in the documentation fits the types of fly_orm and of what it imports."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.support import ROOT

PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md")), *sorted(ROOT.glob("*/*/README.md"))]
#: What pieces of code leave out, as readers fill it in: definitions and annotations. All else is checked strictly.
CONFIGURATION = """
[mypy-snippets.*]
check_untyped_defs = True
disallow_untyped_defs = False
disallow_incomplete_defs = False
disallow_untyped_calls = False
disallow_untyped_decorators = False
disallow_any_generics = False
disallow_subclassing_any = False
warn_return_any = False
warn_unused_ignores = False
disable_error_code = name-defined, no-redef, empty-body, has-type, method-assign, var-annotated
"""
#: The application of the reader.
SHOP = "from typing import Any\ndef __getattr__(name: str) -> Any: ...\n"
#: Mistakes that the checker has to find, each with the code of its error.
PLANTED = """
import fly_orm

fly_orm.wrap(object(), wiat="read")                # call-arg
fly_orm.wrap(object(), wait="sometimes")           # arg-type
fly_orm.tokn()                                     # attr-defined
fly_orm.resume(token=1)                            # call-arg
"""


def snippets():
    """The pieces of code, by the module that each becomes. Parts of a package are compared with it elsewhere."""
    for page in PAGES:
        name = re.sub(r"\W+", "_", str(page.relative_to(ROOT).with_suffix("")))
        for number, (indent, code) in enumerate(
            re.findall(r"^( *)```python\n(.*?)^ *```", page.read_text(), re.DOTALL | re.MULTILINE)
        ):
            if not re.search(r"^from \.", code, re.MULTILINE):
                yield f"{name}_{number}", re.sub(f"^{indent}", "", code, flags=re.MULTILINE)


@pytest.mark.slow
def test_every_piece_of_python_fits_the_types(tmp_path):
    package = tmp_path / "snippets"
    for folder in (package, tmp_path / "shop"):
        folder.mkdir()
        (folder / "__init__.py").write_text(SHOP if folder.name == "shop" else "")
    (tmp_path / "shop" / "app.py").write_text(SHOP)
    found = dict(snippets())
    for name, code in {**found, "planted": PLANTED}.items():
        (package / f"{name}.py").write_text(code)
    (tmp_path / "setup.cfg").write_text((ROOT / "setup.cfg").read_text() + CONFIGURATION)
    command = ["-m", "mypy", "--config-file", str(tmp_path / "setup.cfg"), "--no-error-summary", "-p", "snippets"]
    checked = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,  # where the rest has been checked, and is cached
        env={"MYPYPATH": str(tmp_path), "PATH": ""},
        capture_output=True,
        text=True,
    )
    assert checked.stderr == ""
    errors = [line for line in checked.stdout.splitlines() if ": error:" in line]
    planted = [line for line in errors if "/planted.py:" in line]
    expected = re.findall(r"# ([a-z-]+)$", PLANTED, re.MULTILINE)
    assert [re.findall(r"\[([a-z-]+)\]", line)[-1] for line in planted] == expected, checked.stdout
    assert [line for line in errors if line not in planted] == []
    assert len(found) > 60
