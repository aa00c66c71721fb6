"""A command ends in one line, whatever its streams, folders and signals are."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

PROGRAM = Path(sys.executable).with_name("ptychoproduct")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="shells, descriptors and signals of POSIX")


def shell(line, folder, **environment):
    """Run a line in a shell, `$P` being the program."""
    return subprocess.run(
        line,
        shell=True,
        cwd=folder,
        capture_output=True,
        timeout=120,
        check=False,
        executable="/bin/bash",
        env=os.environ | {"P": str(PROGRAM)} | environment,
    )


@pytest.fixture
def scan(save_scan):
    return save_scan()


@pytest.fixture
def product(scan):
    assert shell("$P convert scan.npz scan.h5 --quiet", scan.parent).returncode == 0
    return scan.with_name("scan.h5")


def frames_of(path):
    with h5py.File(path) as file:
        return file["raw_data/diffraction"][:]


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_product_is_whole_whichever_streams_are_closed(scan, make_scan, closed):
    done = shell(f"$P convert scan.npz scan.h5 --compression none {closed}", scan.parent)
    assert done.returncode == 0
    np.testing.assert_array_equal(frames_of(scan.with_name("scan.h5")), make_scan()["diff3d"])


@pytest.mark.parametrize(
    "command", ["inspect scan.h5", "inspect --json scan.h5", "validate scan.h5", "codecs", "--help"]
)
def test_a_reader_that_goes_away_is_no_error(product, command):
    done = shell(f"$P {command} | true; echo ${{PIPESTATUS[0]}}", product.parent)
    assert done.stdout.split() == [b"0"]
    assert done.stderr == b""


def test_the_verdict_is_the_exit_code_though_nobody_reads_it(product):
    with h5py.File(product, "r+") as file:
        del file["probe"]
    done = shell("$P validate scan.h5 | true; echo ${PIPESTATUS[0]}", product.parent)
    assert done.stdout.split() == [b"2"]
    assert done.stderr == b""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full device")
@pytest.mark.parametrize("command", ["inspect scan.h5", "inspect scan.h5 --json", "validate scan.h5"])
def test_a_full_standard_output_is_one_line(product, command):
    done = shell(f"$P {command} > /dev/full", product.parent)
    assert done.returncode != 0
    (line,) = done.stderr.decode().splitlines()
    assert "cannot be printed: No space left on device" in line


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full device")
def test_a_full_standard_error_is_no_obstacle(scan):
    assert shell("$P convert scan.npz scan.h5 2> /dev/full", scan.parent).returncode == 0
    assert scan.with_name("scan.h5").exists()


@pytest.mark.parametrize("encoding", ["ascii", "cp932", "latin-1"])
@pytest.mark.parametrize("command", ["inspect scan.h5", "validate scan.h5", "codecs", "convert scan.npz again.h5"])
def test_terminals_without_some_characters_get_the_others(product, command, encoding):
    done = shell(f"$P {command}", product.parent, PYTHONIOENCODING=encoding)
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False)
    assert done.stdout.decode(encoding)


def test_a_working_folder_that_was_removed_is_one_line(scan, tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    done = shell(f"cd {gone}; rmdir {gone}; $P convert {scan} new.h5", tmp_path)
    assert done.returncode == 2
    assert len(done.stderr.decode().splitlines()) == 1


def test_an_output_folder_that_cannot_be_made_is_one_line(scan):
    done = shell(f"$P convert scan.npz {'a' * 300}/scan.h5; $P convert scan.npz {'b' * 300}.h5", scan.parent)
    lines = done.stderr.decode().splitlines()
    assert len(lines) == 2
    assert all("File name too long" in line for line in lines)


@pytest.mark.parametrize("name", ["SIGHUP", "SIGXCPU", "SIGTERM"])
def test_signals_remove_what_is_unfinished(tmp_path, make_scan, name):
    number = getattr(signal, name)
    frames = np.random.default_rng(0).random((3000, 128, 128), np.float32)
    x = np.linspace(8, 56, len(frames))
    np.savez(
        tmp_path / "long.npz",
        **make_scan(diff3d=frames, xcoords=x, ycoords=x, scan_index=None, xcoords_start=None, ycoords_start=None),
    )
    command = [PROGRAM, "convert", "long.npz", "long.h5", "--compression", "zstd:19"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    while not list(tmp_path.glob(".ptychoproduct-*.part")):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(number)
    _, printed = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert len(printed.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["long.npz"]


def test_a_signal_that_is_ignored_stays_ignored(scan):
    done = shell("trap '' HUP; $P convert scan.npz scan.h5 & sleep 0.05; kill -HUP $!; wait $!", scan.parent)
    assert done.returncode == 0
    assert scan.with_name("scan.h5").exists()


NO_MEMORY = """
import sys
class NoMemory:
    def find_spec(self, name, *_):
        if name == "ptychoproduct_cli.commands.convert":
            raise {error}
sys.argv = ["ptychoproduct", "convert", "scan.npz", "out.h5"]
from ptychoproduct_cli.main import main
sys.meta_path.insert(0, NoMemory())
main()
"""


@pytest.mark.parametrize(
    "error",
    [
        "MemoryError",
        "OSError(12, 'Cannot allocate memory')",
        "ImportError('lib.so: cannot allocate memory in static TLS block')",
        "SystemError('<built-in function compile> returned NULL without setting an exception')",
    ],
)
def test_an_import_that_finds_no_memory_is_one_line(error):
    words = [sys.executable, "-c", NO_MEMORY.format(error=error)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("ptychoproduct: error: out of memory")


def test_an_error_of_our_own_is_not_called_a_lack_of_memory():
    words = [sys.executable, "-c", NO_MEMORY.format(error="KeyError('x')")]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr.startswith("Traceback")
    assert "memory" not in done.stderr.splitlines()[-1]
