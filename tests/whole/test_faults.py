"""A short form of the campaign of faults: files stay whole where calls fail and processes are killed."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CAMPAIGN = Path(__file__).parents[1] / "campaigns" / "faults.py"


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="preloads a library for Linux")
@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
@pytest.mark.parametrize("command", ["convert", "import", "repack", "standard layout"])
def test_no_fault_and_no_kill_leaves_a_damaged_output(command):
    # Without memory, libraries that we call crash now and then; by hand, the campaign asks for that as well.
    words = [sys.executable, CAMPAIGN, "--every", "20", "--commands", command, "--without", "no memory"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=300)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("\n0 violations\n")
    kills, images = (int(re.search(rf"'{name}': (\d+)", done.stdout)[1]) for name in ("kill", "crash images"))
    assert kills >= 4
    assert images > 50
