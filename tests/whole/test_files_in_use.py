"""Files that another program has open: real second processes hold them."""

import os
import subprocess
import sys

import h5py
import numpy as np
import pytest

FRAMES = np.random.default_rng(5).poisson(3, (12, 16, 16)).astype("u2")

WRITER = """
import os, sys
import h5py, numpy as np
path, kind = sys.argv[1:]
file = h5py.File(path, "w", libver=None if kind == "plain" else "latest")
frames = file.create_dataset("dp", (0, 16, 16), "u2", maxshape=(None, 16, 16), chunks=(1, 16, 16))
file["ppX"] = file["ppY"] = np.arange(12) * 1e-6
file["probe"] = np.ones((16, 16), np.complex64)
if kind == "swmr":
    file.swmr_mode = True
frames.resize(12, axis=0)
frames[:] = np.load("frames.npy")
file.flush()
print("written", flush=True)
sys.stdin.readline()
os._exit(0)
"""


@pytest.fixture
def writing(tmp_path):
    """A function that starts a program that writes a scan and keeps it open; it ends with the test."""
    np.save(tmp_path / "frames.npy", FRAMES)
    writers = []

    def start(name, kind):
        command = [sys.executable, "-c", WRITER, name, kind]
        writer = subprocess.Popen(command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        writers.append(writer)
        assert writer.stdout.readline() == "written\n"
        return writer

    yield start
    for writer in writers:
        writer.communicate("\n")


COMMANDS = {
    "convert": ("scan.h5", "new.h5"),
    "tune": ("scan.h5", "--seconds", "0.1"),
    "import": ("scan.h5", "new.npz"),
    "validate": ("scan.h5",),
    "inspect": ("scan.h5",),
    "repack": ("scan.h5", "new.h5", "--compression", "fast"),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("kind", ["plain", "latest"])
def test_a_file_that_another_program_writes(run_command, writing, kind, command):
    writing("scan.h5", kind)
    done = run_command("ptychoproduct", command, *COMMANDS[command])
    assert done.returncode != 0
    assert "scan.h5: another program has it open for writing; close it there" in done.stderr
    assert done.stderr.count("\n") == 1
    assert ("HDF5_USE_FILE_LOCKING=FALSE" in done.stderr) == (kind == "plain")


@pytest.mark.parametrize("kind", ["plain", "latest"])
def test_the_variable_is_named_where_it_helps(run_command, writing, kind):
    writing("scan.h5", kind)
    environment = os.environ | {"HDF5_USE_FILE_LOCKING": "FALSE"}
    done = run_command("ptychoproduct", "convert", "scan.h5", "new.h5", env=environment)
    assert (done.returncode == 0) == (kind == "plain")


@pytest.mark.parametrize("is_killed", [False, True])
def test_a_file_that_is_written_in_swmr_mode_is_read(run_command, writing, tmp_path, is_killed):
    writer = writing("scan.h5", "swmr")
    if is_killed:
        writer.kill()
        writer.wait()
    done = run_command("ptychoproduct", "convert", "scan.h5", "new.h5", "--compression", "portable", "--verify")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("scan.h5: another program is writing it, or was killed while it did") == 1
    with h5py.File(tmp_path / "new.h5") as file:
        assert np.array_equal(file["raw_data/diffraction"][:], FRAMES)


def test_a_killed_writer_is_told_with_the_cure(run_command, writing):
    writing("scan.h5", "latest").kill()
    done = run_command("ptychoproduct", "convert", "scan.h5", "new.h5")
    assert done.returncode == 2
    assert "h5clear -s " in done.stderr


@pytest.mark.parametrize("kind", ["plain", "swmr"])
@pytest.mark.parametrize("link", ["external", "virtual"])
def test_a_linked_file_that_another_program_writes(run_command, writing, tmp_path, kind, link):
    writing("data.h5", kind)
    with h5py.File(tmp_path / "scan.h5", "w", libver="latest") as file:
        file["ppX"] = file["ppY"] = np.arange(12) * 1e-6
        file["probe"] = np.ones((16, 16), np.complex64)
        if link == "external":
            file["dp"] = h5py.ExternalLink("data.h5", "/dp")
        else:
            layout = h5py.VirtualLayout(FRAMES.shape, FRAMES.dtype)
            layout[:] = h5py.VirtualSource("data.h5", "dp", FRAMES.shape)
            file.create_virtual_dataset("dp", layout)
    done = run_command("ptychoproduct", "convert", "scan.h5", "new.h5", "--compression", "portable")
    if kind == "plain":
        assert done.returncode == 2
        assert "scan.h5: /dp: links to data.h5: another program has it open for writing; close it" in done.stderr
    else:
        assert done.returncode == 0, done.stderr
        with h5py.File(tmp_path / "new.h5") as file:
            assert np.array_equal(file["raw_data/diffraction"][:], FRAMES)
