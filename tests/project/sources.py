"""The modules of this repository, and what each imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.support import ROOT
from tests.support.environments import SOURCES

CODE = ("fly_orm", "fly_orm_transports")


def modules(*folders: str) -> list[Path]:
    """All modules in these folders, and below them."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def where(path: Path) -> str:
    """A file's path from the root of the repository on."""
    return str(path.relative_to(ROOT))


def distributed() -> dict[str, Path]:
    """The files of all modules that are distributed from here, plug-ins included, by the names of the modules."""
    tops = [(source, top) for source in SOURCES for top in source.glob("fly_orm*") if top.suffix in ("", ".py")]
    files = [(source, path) for source, top in tops for path in ([top] if top.suffix else top.rglob("*.py"))]
    return {named(path, source): path for source, path in files}


def named(path: Path, source: Path = ROOT) -> str:
    """The name by which a module is imported."""
    return ".".join(path.relative_to(source).with_suffix("").parts).removesuffix(".__init__")


@cache
def imports(path: Path, source: Path = ROOT) -> frozenset[str]:
    """What a file imports, for the type checker alone included: modules, or names in modules, as absolute names."""
    return frozenset(_imports(ast.parse(path.read_text()), path.relative_to(source).parts[:-1]))


def _imports(tree: ast.Module, package: tuple[str, ...]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            stem = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{stem}.{alias.name}" for alias in node.names)
