"""A finding: one result of checking a set-up."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass


class Level(enum.IntEnum):
    """How much a finding matters. Its number is the exit status of ``fly-orm check``."""

    OK = 0
    WARNING = 1
    """It works, but not as well as it could, or not always."""
    ERROR = 2
    """Something does not work."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One result of a check, and what to do about it."""

    level: Level
    topic: str
    """The family that it belongs to, such as ``secret`` or ``node``."""
    message: str
    """What was found."""
    advice: str = ""
    """What to do; empty if there is nothing to do."""
    subject: str = ""
    """What it is about, such as a database or a node; empty for the process itself."""

    def __str__(self) -> str:
        about = f"{self.subject}: " if self.subject else ""
        return f"{about}{self.message}" + (f". {self.advice}" if self.advice else "")

    def as_json(self) -> dict[str, str]:
        """The finding as ``fly-orm check --json`` prints it."""
        return {
            "level": self.level.name.lower(),
            "topic": self.topic,
            "subject": self.subject,
            "message": self.message,
            "advice": self.advice,
        }


def ok(topic: str, message: str, advice: str = "", *, subject: str = "") -> Finding:
    """A finding at level OK."""
    return Finding(level=Level.OK, topic=topic, message=message, advice=advice, subject=subject)


def warning(topic: str, message: str, advice: str, *, subject: str = "") -> Finding:
    """A finding at level WARNING."""
    return Finding(level=Level.WARNING, topic=topic, message=message, advice=advice, subject=subject)


def error(topic: str, message: str, advice: str, *, subject: str = "") -> Finding:
    """A finding at level ERROR."""
    return Finding(level=Level.ERROR, topic=topic, message=message, advice=advice, subject=subject)


def worst(findings: Iterable[Finding]) -> Level:
    """The highest level among the findings; OK if there are none."""
    return max((finding.level for finding in findings), default=Level.OK)
