"""The pages on performance show what is stored, and nothing that was not measured."""

from __future__ import annotations

import re
import struct

import pytest

from tests.bench.catalogue import LONG, MODULES, USUAL, load
from tests.bench.publishing.drawing import DIGEST, digest, file_of
from tests.bench.publishing.pages import _BLOCK, PAGES, filled, names_in
from tests.bench.publishing.stored import FOLDER, stored
from tests.support import ROOT

FOUND = stored(MODULES)


def comment_of(png):
    """The text chunk of a PNG file that says what was drawn."""
    data, place = png.read_bytes(), 8
    while place < len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        content = data[place + 8 : place + 8 + length]
        if kind == b"tEXt" and content.startswith(DIGEST.encode() + b"\0"):
            return content.partition(b"\0")[2].decode()
        place += 12 + length
    return None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_tables_of_the_page_are_those_that_are_stored(page):
    text = page.read_text()
    assert filled(text, FOUND) == text, "run python -m tests.bench --write-docs"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_figures_stand_only_where_they_are_generated(page):
    prose = _BLOCK.sub("", page.read_text())
    assert re.findall(r"\d[\d,.]*\s*(?:µs|KiB|MiB|GiB|%|/s\b|writes a second)", prose) == []


def test_everything_that_is_measured_has_one_place():
    names = [name for page in PAGES for name in names_in(page.read_text())]
    assert len(names) == len(set(names))
    assert set(names) >= {*USUAL, *FOUND}


def test_each_plot_shows_the_values_that_are_stored():
    plots = [plot for each in FOUND.values() for plot in each.report.plots]
    assert {file_of(plot): digest(plot) for plot in plots} == {
        file.name: comment_of(file) for file in FOLDER.glob("*.png")
    }


def test_plots_are_small():
    assert all(file.stat().st_size < 150_000 for file in FOLDER.glob("*.png"))


def test_the_catalogue_has_every_benchmark():
    measuring = {
        file.stem for file in (ROOT / "tests" / "bench").rglob("*.py") if "\ndef run(" in file.read_text()
    }  # fmt: skip
    assert measuring == set(MODULES)
    assert set(MODULES) >= LONG
    assert all(load(name).__doc__ for name in MODULES)
