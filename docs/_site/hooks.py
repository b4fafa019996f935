"""Makes the pages of the site that are no files in ``docs/``, and the links of all pages, for mkdocs.

Pages are written for readers of the repository, where links lead to any file. In the site, a link to a page leads to
that page, and one to anything else, such as a module, becomes the path of that file.
"""

from __future__ import annotations

import argparse
import posixpath
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

import fly_orm
from docs._site.links import with_links
from fly_orm.cli.command_line import COMMANDS, make_parser
from fly_orm.settings import VARIABLES

ROOT = Path(__file__).parents[2]
#: By the path of a page in the site, the file of the repository that it shows.
SHOWN = {
    "index.md": "README.md",
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
    "vulnerabilities.md": "SECURITY.md",
    "examples/guestbook.md": "examples/guestbook/README.md",
    "examples/guestbook_django.md": "examples/guestbook_django/README.md",
    "examples/guestbook_fastapi.md": "examples/guestbook_fastapi/README.md",
    "examples/guestbook_sqlalchemy.md": "examples/guestbook_sqlalchemy/README.md",
    "examples/tested_shop.md": "examples/tested_shop/README.md",
    "plugins/fly-orm-django.md": "plugins/fly-orm-django/README.md",
    "plugins/fly-orm-nats.md": "plugins/fly-orm-nats/README.md",
    "plugins/fly-orm-pigeon.md": "plugins/fly-orm-pigeon/README.md",
    "plugins/fly-orm-psycopg2.md": "plugins/fly-orm-psycopg2/README.md",
    "plugins/fly-orm-sqlalchemy.md": "plugins/fly-orm-sqlalchemy/README.md",
}
_IMAGE = re.compile(r"(?<=\]\()docs/(?P<target>[^)\s]+)(?=\))")
_SENTENCES = re.compile(r"<td>(?=[^\n]{60})")
_ROLE = re.compile(r":(?:attr|class|data|exc|func|meth|mod):<code>~?(?:fly_orm\.)?(?P<name>[^<]+)</code>")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that show other files, and those that are made from the code."""
    for page, path in SHOWN.items():
        files.append(File.generated(config, page, content=(ROOT / path).read_text()))
    for page, made in {"command-line.md": command_line, "api.md": api}.items():
        files.append(File.generated(config, page, content="\n".join(made())))
    return files


def on_page_markdown(markdown: str, page: Any, files: Files, **_: Any) -> str:
    """Let links lead to pages of the site, outside of code."""
    shown = SHOWN.get(page.file.src_uri, posixpath.join("docs", page.file.src_uri))
    if page.file.src_uri == "settings.md":
        markdown += "\n".join(settings())
    if not shown.startswith("docs/"):
        up = posixpath.relpath(".", posixpath.dirname(page.file.src_uri) or ".")
        markdown = _IMAGE.sub(lambda image: f"{up}/{image['target']}", markdown)
    return with_links(markdown, lambda link: _led(link, shown, page.file.src_uri))


def on_page_content(html: str, **_: Any) -> str:
    """Show the names in docstrings without the roles that mark them, and mark cells of tables that have sentences."""
    return _SENTENCES.sub('<td class="sentences">', _ROLE.sub(r"<code>\g<name></code>", html))


def _led(link: re.Match[str], shown: str, page: str) -> str:
    target, _, anchor = link["target"].partition("#")
    if not target or ":" in target:
        return link[0]
    path = posixpath.normpath(posixpath.join(posixpath.dirname(shown), target))
    there = _page_of(path)
    if there is None:
        if not (ROOT / path).exists():
            return link[0]  # mkdocs reports it
        return link["text"] if "`" in link["text"] else f"`{path}`"
    relative = posixpath.relpath(there, posixpath.dirname(page) or ".")
    return f"[{link['text']}]({relative}{'#' + anchor if anchor else ''})"


def _page_of(path: str) -> str | None:
    """The page that shows a file of the repository, or a folder by its README."""
    for candidate in (path, f"{path}/README.md"):
        for page, file in SHOWN.items():
            if file == candidate:
                return page
        if candidate.startswith("docs/") and candidate.endswith(".md") and (ROOT / candidate).is_file():
            return candidate.removeprefix("docs/")
    return None


def settings() -> Iterator[str]:
    """What the site adds to the page about settings: all fields, as the code describes them."""
    yield "\n## In Python\n"
    yield "Each variable is a field of `fly_orm.Settings`.\n"
    yield "::: fly_orm.settings.Settings\n    options:\n      show_root_heading: false\n      heading_level: 3\n"
    yield "| variable | field |\n|---|---|"
    for name, (field_name, _) in sorted(VARIABLES.items()):
        yield f"| `{name}` | `{field_name}` |"


def command_line() -> Iterator[str]:
    """The page about ``fly-orm``, from its parser."""
    yield "# Command line\n"
    yield "`fly-orm` serves a database to other regions, checks a set-up, and shows the state of its nodes.\n"
    yield f"```console\n$ fly-orm --help\n{make_parser().format_help()}```\n"
    for command in COMMANDS:
        own = argparse.ArgumentParser(prog=f"fly-orm {command.NAME}", description=command.HELP)
        command.add_arguments(own)
        yield f"## fly-orm {command.NAME}\n\n```console\n$ fly-orm {command.NAME} --help\n{own.format_help()}```\n"


#: The modules with public names besides ``fly_orm``, by what they are for.
BESIDES = {
    "Web applications": "fly_orm.web",
    "Metrics": "fly_orm.prometheus",
    "OpenTelemetry": "fly_orm.otel",
    "Tests": "fly_orm.testing",
    "Discoveries": "fly_orm.discovery",
    "Adapters": "fly_orm.adapters.base",
}


def api() -> Iterator[str]:
    """The page about the public names, from their docstrings."""
    yield "# Python\n"
    others = ", ".join(f"[`{module}`](#{heading.lower().replace(' ', '-')})" for heading, module in BESIDES.items())
    yield f"Everything that `fly_orm` exports, and then {others}.\n"
    for name in sorted(set(fly_orm.__all__), key=str.lower):
        yield f"::: fly_orm.{name}\n"
    for heading, module in BESIDES.items():
        yield f"## {heading}\n\nIn `{module}`:\n"
        for name in sorted(import_module(module).__all__, key=str.lower):
            yield f"::: {module}.{name}\n"
