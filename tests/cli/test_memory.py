"""A node gives the memory of long messages back to the system."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from tests.support import ROOT

_KEPT = """
import sys
from pathlib import Path
from fly_orm.cli.memory import return_long_blocks

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

if sys.argv[1] == "returns":
    return_long_blocks()
before = resident()
bytes(30_000_000 + len(sys.argv))  # from now on, glibc keeps blocks of up to that size
long = b"x" * 20_000_000
short = b"x" * 200_000  # behind it, so that it cannot be cut off
del long
print(resident() - before > 10_000_000)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
@pytest.mark.parametrize(("mode", "kept"), [("keeps", "True"), ("returns", "False")])
def test_long_blocks_go_back_to_the_system(mode, kept):
    ran = subprocess.run([sys.executable, "-c", _KEPT, mode], capture_output=True, text=True, check=True, cwd=ROOT)
    assert ran.stdout.strip() == kept
