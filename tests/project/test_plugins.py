"""Each plug-in in this tree is a distribution that can be worked on by itself."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.environments import SOURCES


@pytest.mark.slow
@pytest.mark.parametrize("folder", SOURCES[1:], ids=lambda folder: folder.name)
def test_its_tests_are_found_from_its_own_folder(folder):
    command = [sys.executable, "-m", "pytest", "--collect-only", "--quiet", "-p", "no:cacheprovider"]
    found = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout
