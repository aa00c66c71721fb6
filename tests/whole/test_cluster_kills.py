"""One kill of each kind, of each kind of job; the campaign has 50."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def test_what_is_killed_is_continued():
    pytest.importorskip("distributed")
    campaign = Path(__file__).parents[1] / "campaigns" / "cluster_kills.py"
    words = [sys.executable, campaign, "--kills", "1", "--scans", "8", "--frames", "400"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("0 violations\n")
