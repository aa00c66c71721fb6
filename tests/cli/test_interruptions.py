"""A command that is interrupted ends in one line, at any moment, and says truly what is there."""

import signal
import subprocess
import sys

import h5py
import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")

AT_A_RENAME = """
import os, signal, sys
from pathlib import Path
from ptychoproduct_cli.main import main
name, moment, number = sys.argv[1], sys.argv[2], int(sys.argv[3])
replace = Path.replace
def interrupt(self, target):
    if moment == "after":
        replace(self, target)
    if target.name == name:
        os.kill(os.getpid(), number)
    if moment == "before":
        replace(self, target)
Path.replace = interrupt
sys.argv = ["ptychoproduct", *sys.argv[4:]]
main()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("name", ["product.h5", "diffraction.h5"])
def test_an_interruption_at_a_rename_leaves_both_files_complete_and_says_so(save_scan, tmp_path, name, moment, number):
    convert = ["convert", save_scan(), "--standard-layout", tmp_path / "out", "--quiet"]
    command = [sys.executable, "-c", AT_A_RENAME, name, moment, str(int(number)), *map(str, convert)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 128 + number
    (line,) = done.stderr.splitlines()
    assert "product.h5 is complete" in line
    assert "diffraction.h5 is complete" in line
    assert "removed" not in line
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["diffraction.h5", "product.h5"]
    for name in ("diffraction.h5", "product.h5"):
        with h5py.File(tmp_path / "out" / name) as file:
            assert len(file) > 1
