"""What the distributions require, and the oldest versions of it that they allow."""

from __future__ import annotations

from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path

from packaging.requirements import Requirement

#: Extras that are for work on the project; what they bring may be of any age.
TOOLS = {"demo", "dev", "docs", "fuzz", "release", "test", "testing"}


def metadata(folder: Path) -> dict[str, str]:
    """Some of what a distribution says of itself, by the names of core metadata."""
    config = _config(folder)
    return {
        "name": config["metadata"]["name"],
        "requires-python": config["options"]["python_requires"],
        "classifiers": config["metadata"].get("classifiers", ""),
    }


def required(folder: Path) -> Iterator[Requirement]:
    """What a distribution requires, and what its extras for users do."""
    config = _config(folder)
    texts = [config["options"].get("install_requires", "")]
    if config.has_section("options.extras_require"):
        texts += [text for extra, text in config["options.extras_require"].items() if extra not in TOOLS]
    for text in texts:
        yield from (Requirement(line) for line in text.splitlines() if line.strip())


def extras(folder: Path) -> list[str]:
    """The names of its extras."""
    return list(_config(folder)["options.extras_require"])


def unbounded(folder: Path) -> list[str]:
    """Requirements that lack a lower or an upper bound."""
    return [str(each) for each in required(folder) if not {">=", "<"} <= {bound.operator for bound in each.specifier}]


def oldest(folders: list[Path]) -> list[str]:
    """A constraint for pip for each requirement on others' distributions: the lowest version that all of them allow."""
    ours = {metadata(folder)["name"] for folder in folders}
    lowest: dict[str, str] = {}
    for requirement in (each for folder in folders for each in required(folder) if each.name not in ours):
        versions = [bound.version for bound in requirement.specifier if bound.operator == ">="]
        lowest[requirement.name] = max([*versions, lowest.get(requirement.name, "0")], key=_key)
    return sorted(f"{name}=={version}" for name, version in lowest.items() if version != "0")


def _key(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _config(folder: Path) -> ConfigParser:
    config = ConfigParser()
    config.read(folder / "setup.cfg")
    return config
