"""A command that is interrupted ends in one line, at any moment, and says truly what is there."""

import collections
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

PROGRAM = Path(sys.executable).with_name("ptychoproduct")

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


AT_AN_IMPORT = """
import os, signal, sys
class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == WANTED:
            for _ in range(TIMES):
                os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupt())
from ptychoproduct_cli.main import main
main()
"""


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize(
    "module",
    [
        *("ptychoproduct_cli.options", "ptychoproduct_cli.running", "ptychoproduct_native", "ptychoproduct"),
        *("numpy", "h5py", "hdf5plugin", "ptychoproduct.convert.export", "ptychoproduct.system.part_files"),
    ],
)
def test_ctrl_c_during_an_import_is_one_line(save_scan, tmp_path, module, times):
    script = tmp_path / "ptychoproduct"
    script.write_text(AT_AN_IMPORT.replace("WANTED", repr(module)).replace("TIMES", str(times)))
    command = [sys.executable, script, "convert", save_scan(), tmp_path / "out" / "scan.h5"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 130, done.stderr
    (line,) = done.stderr.splitlines()
    assert "error: interrupted" in line
    assert not (tmp_path / "out").exists()


def slow_scan(make_scan, folder):
    """Save a scan that takes some seconds to convert with a slow codec."""
    frames = np.random.default_rng(0).random((2000, 128, 128), np.float32)
    x = np.linspace(8, 56, len(frames))
    none = dict.fromkeys(("scan_index", "xcoords_start", "ycoords_start"))
    np.savez(folder / "long.npz", **make_scan(diff3d=frames, xcoords=x, ycoords=x, **none))
    return folder / "long.npz"


def start(*words, folder):
    return subprocess.Popen(
        [PROGRAM, *words], cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, errors="replace"
    )


def exit_code(process):
    """Return what a shell gets: when Python has tidied up its handlers, a signal ends it by itself."""
    return process.returncode if process.returncode >= 0 else 128 - process.returncode


@pytest.mark.parametrize("apart_s", [0, 0.05])
def test_a_second_ctrl_c_ends_at_once_in_one_line_and_leaves_nothing(make_scan, tmp_path, apart_s):
    slow_scan(make_scan, tmp_path)
    process = start("convert", "long.npz", "a/long.h5", "--compression", "zstd:19", folder=tmp_path)
    while not list(tmp_path.glob("a/.ptychoproduct-*.part")):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    time.sleep(apart_s)
    process.send_signal(signal.SIGINT)
    _, printed = process.communicate(timeout=20)
    assert exit_code(process) == 130
    assert len(printed.splitlines()) == 1, printed
    assert "interrupted" in printed
    assert [path.name for path in tmp_path.rglob("*.part")] == []


@pytest.mark.slow
def test_ctrl_c_at_any_moment_is_one_line_or_none_where_all_is_done(save_scan, tmp_path):
    save_scan()
    started = time.perf_counter()
    assert start("convert", "scan.npz", "scan.h5", "--quiet", folder=tmp_path).wait() == 0
    whole_s = time.perf_counter() - started
    # What Python does before the first line of this package is not ours to answer.
    ours_s = 0.1 * whole_s
    endings = collections.Counter()
    for moment_s in np.linspace(ours_s, whole_s, 24):
        process = start("convert", "scan.npz", "scan.h5", "--quiet", folder=tmp_path)
        time.sleep(moment_s)
        process.send_signal(signal.SIGINT)
        if moment_s > whole_s / 2:  # once is enough
            process.send_signal(signal.SIGINT)
        _, printed = process.communicate(timeout=20)
        lines = printed.splitlines()
        endings[exit_code(process), len(lines)] += 1
        if "Traceback" in printed and "ptychoproduct_cli" not in printed:
            continue  # Python was not there yet
        assert (exit_code(process), len(lines)) in {(0, 0), (130, 1), (130, 0)}, printed
        if not lines:
            assert (tmp_path / "scan.h5").exists()
        assert list(tmp_path.glob(".ptychoproduct-*")) == []
    print(dict(endings))
    assert endings[130, 1] > 5


def test_after_a_kill_between_the_renames_every_command_tells_of_the_mixed_pair(
    save_scan, make_scan, run_command, tmp_path
):
    def convert(scan):
        return ["convert", scan, "--standard-layout", tmp_path / "out", "--detector-pixel-size-m", "1e-5"]

    assert run_command("ptychoproduct", *convert(save_scan("old.npz")), "--quiet").returncode == 0
    new = save_scan("new.npz", diff3d=np.ones_like(make_scan()["diff3d"]))
    command = [sys.executable, "-c", AT_A_RENAME, "product.h5", "before", "9", *map(str, convert(new))]
    assert subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == -signal.SIGKILL
    problem = "product.h5 and diffraction.h5 are not from one conversion"
    validated = run_command("ptychoproduct", "validate", "out/product.h5")
    assert (validated.returncode, problem in validated.stdout) == (2, True)
    assert f"warning: {problem}" in run_command("ptychoproduct", "inspect", "out/product.h5").stdout
    again = run_command("ptychoproduct", *convert(new))
    assert again.returncode == 0
    assert "not from one conversion; both are replaced" in again.stderr
    assert "not from one conversion" not in run_command("ptychoproduct", "validate", "out/product.h5").stdout
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["diffraction.h5", "product.h5"]
