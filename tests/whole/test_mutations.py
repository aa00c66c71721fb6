"""Short forms of campaigns: damage makes no command hang, crash or succeed wrongly, and none goes unnoticed."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

CAMPAIGN = Path(__file__).parents[1] / "campaigns" / "mutations.py"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_damaged_files_are_answered_in_one_line():
    words = [sys.executable, CAMPAIGN, "--count", "40", "--seed", "12"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=600)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("\n0 violations\n")
    assert int(re.search(r"(\d+) runs", done.stdout)[1]) >= 40 * 15
