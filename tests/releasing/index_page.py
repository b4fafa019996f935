"""Makes of a README what a package index can show, which resolves no link to another file of the repository."""

from __future__ import annotations

import posixpath
import re

from docs._site.links import with_links

#: Pictures that are files of the repository, in each of the ways to write them.
_PICTURE = re.compile(
    r"<picture\b.*?</picture>\s*|<img\b(?![^>]*\bsrc=[\"']?https?:)[^>]*>\s*|!\[[^\]]*\]\((?!https?:)[^)]*\)\s*",
    re.DOTALL,
)


def for_index(readme: str, folder: str) -> str:
    """The README of a folder, with the paths of other files in place of links to them, and without their pictures."""
    return with_links(_PICTURE.sub("", readme), lambda link: _named(link, folder))


def _named(link: re.Match[str], folder: str) -> str:
    target = link["target"].partition("#")[0]
    if not target or ":" in target:
        return link[0]
    path = posixpath.normpath(posixpath.join(folder, target))
    return link["text"] if path in link["text"] or path == "README.md" else f"{link['text']} [`{path}`]"
