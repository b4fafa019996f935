"""Finds the links of a page, outside of its code."""

from __future__ import annotations

import re
from collections.abc import Callable

LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]+)\]\((?P<target>[^)\s]+)\)")
_FENCE = re.compile(r"^(```.*?^```)", re.DOTALL | re.MULTILINE)


def with_links(markdown: str, link: Callable[[re.Match[str]], str]) -> str:
    """The page, with what ``link`` returns in place of each match of :data:`LINK` that is outside of a code block."""
    parts = _FENCE.split(markdown)
    return "".join(part if part.startswith("```") else LINK.sub(link, part) for part in parts)
