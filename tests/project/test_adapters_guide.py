"""The guide to adapters contains the example plug-in, and what else it says is so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import fly_orm
from fly_orm import discovery, errors, transport
from fly_orm.adapters import base
from fly_orm.codec import CodecError
from tests.project.sources import imports, where
from tests.support import ROOT

GUIDE = (ROOT / "docs" / "adapters.md").read_text()
#: What the guide lists for frameworks.
FRAMEWORKS = {
    "fly_orm.web": {"FrameworkMiddleware", "RequestSession"},
    "fly_orm.checking": {"environment_findings", "Finding", "Level"},
    "fly_orm.cli": {"check", "serve"},
    "fly_orm.settings": {"Settings"},
}
#: The names that plug-ins of all kinds may import, by their modules.
NAMES = {
    **FRAMEWORKS,
    "fly_orm": {"errors", *fly_orm.__all__},
    "fly_orm.adapters.base": set(base.__all__),
    "fly_orm.discovery": set(discovery.__all__),
    "fly_orm.errors": set(errors.__all__),
    "fly_orm.protocol.tls": {"Tls"},
    "fly_orm.topology": {"Node"},
    "fly_orm.transport": set(transport.__all__),
}
PUBLIC = {"fly_orm", *(f"{module}.{name}" for module, names in NAMES.items() for name in names)}
PLUGIN = ROOT / "plugins" / "fly-orm-psycopg2"


def section(title: str) -> str:
    return GUIDE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def blocks(kind: str, title: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", section(title), re.DOTALL | re.MULTILINE)


def source(name: str) -> str:
    return Path(PLUGIN, name).read_text()


def test_it_builds_the_plug_in_to_the_letter():
    factory, init, *adapter, use = blocks("python", "From an empty folder")
    assert factory == source("fly_orm_psycopg2/factory.py")
    assert init == source("fly_orm_psycopg2/__init__.py")
    assert "\n\n".join(adapter) == source("fly_orm_psycopg2/adapter.py")
    assert use.strip().splitlines()[0] == "import fly_orm"
    for kind, name in ("ini", "setup.cfg"), ("toml", "pyproject.toml"):
        assert blocks(kind, "From an empty folder") == [source(name)]


def test_the_readme_of_the_plug_in_shows_the_same_use():
    [readme] = re.findall(r"^```python\n(.*?)^```", source("README.md"), re.DOTALL | re.MULTILINE)
    without_comments = re.sub(r" +#.*", "", readme)
    assert without_comments.startswith(blocks("python", "From an empty folder")[-1])


def test_its_table_lists_all_that_the_router_asks():
    listed = re.findall(r"^\| `(\w+)", section("What the router asks"), re.MULTILINE)
    assert sorted(listed) == sorted(name for name in vars(base.WrappedDatabase) if not name.startswith("_"))
    optional = {name for name in listed if name not in base.WrappedDatabase.__abstractmethods__}
    assert set(listed[-9:]) == optional


def test_what_it_says_of_adapters_names_their_methods():
    methods = {name for name in vars(base.Adapter) if not name.startswith("_")}
    for name in methods - {"router_of"}:
        assert f"`Adapter.{name}()`" in GUIDE or f"`{name}()`" in GUIDE, name


def words(text: str) -> list[str]:
    return re.findall(r"`([\w.]+)`", text)


def test_its_tables_list_all_that_may_be_imported():
    rows = re.findall(r"^\| (`.*?) \| (.*?) \|", section("What you may import"), re.MULTILINE)
    frameworks = {words(first)[0]: set(words(second)) for first, second in rows if "fly_orm." in first}
    names = [name for first, _ in rows if "fly_orm." not in first for name in words(first)]
    assert sorted(names) == sorted(base.__all__)
    assert frameworks == FRAMEWORKS


def test_the_plug_ins_import_nothing_else():
    private, seen = {}, 0
    for plugin in (ROOT / "plugins").iterdir():
        for path in (*plugin.glob("fly_orm_*/**/*.py"), *plugin.glob("fly_orm_*.py")):
            seen += 1
            fly_orms = {name for name in imports(path, plugin) if name.partition(".")[0] == "fly_orm"}
            if unknown := fly_orms - PUBLIC:
                private[where(path)] = unknown
    assert seen > 40
    assert not private


@pytest.fixture
def library() -> Any:
    """The example of a library with classes whose instances travel."""
    namespace: dict[str, Any] = {"__name__": __name__}
    [code] = blocks("python", "What an ORM needs besides")
    exec(code, namespace)
    return namespace


def test_its_type_handler_works(library, monkeypatch):
    item = type("Item", (library["Row"],), {"columns": ("name",), "__module__": __name__})
    monkeypatch.setitem(globals(), "Item", item)
    handler = library["RowHandler"]()
    encoded = handler.encode(item(name="a"))
    copy = handler.decode(encoded)
    assert type(copy) is item
    assert copy.values == {"name": "a"}
    assert [handler.handles(cls) for cls in (item, library["Row"], dict)] == [True, False, False]
    for name in ("os:path", f"{__name__}:GUIDE", f"{__name__}:Other"):
        with pytest.raises(CodecError, match="this process has no class"):
            handler.decode(base.EncodedInstance(name=name, fields=({},)))
    with pytest.raises(CodecError, match="does not have here colour"):
        handler.decode(base.EncodedInstance(name=encoded.name, fields=({"name": "a", "colour": 1},)))
