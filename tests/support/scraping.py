"""What Prometheus reads of a process."""

from __future__ import annotations

from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.support.waiting import PATIENCE


class Scrape:
    """The samples of one scrape."""

    def __init__(self, text: str) -> None:
        self.families = {family.name: family for family in text_string_to_metric_families(text)}
        """By name; that of a counter is without ``_total``."""
        self._samples = [sample for family in self.families.values() for sample in family.samples]

    def value(self, name: str, **labels: str) -> float | None:
        """The sum of all samples of this name that have these labels; None if there are none."""
        found = [each.value for each in self._samples if each.name == name and labels.items() <= each.labels.items()]
        return sum(found) if found else None

    def labels(self, name: str) -> Iterator[dict[str, Any]]:
        """The labels of all samples of this name."""
        return (sample.labels for sample in self._samples if sample.name == name)


def asked(address: str, path: str) -> tuple[int, str]:
    """The status and the text that a path is answered with."""
    answer, text = _asked(address, path)
    return answer.status, text


def scrape(address: str, path: str = "/metrics") -> Scrape:
    """What is at an address that serves HTTP."""
    answer, text = _asked(address, path)
    assert answer.status == 200, text
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    return Scrape(text)


def _asked(address: str, path: str) -> tuple[HTTPResponse, str]:
    connection = HTTPConnection(address, timeout=PATIENCE)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer, answer.read().decode()
    finally:
        connection.close()
