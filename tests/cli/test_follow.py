"""A scan that another process writes with SWMR becomes a product meanwhile; h5py judges the frames."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from ptychoproduct import validate_product

FRAMES = np.random.default_rng(5).poisson(3, (12, 16, 16)).astype("u2")
# Takes from standard input, line by line: the length of the dataset, and how many frames are then in the file.
WRITER = """
import sys
import h5py, hdf5plugin, numpy as np
depth = int(sys.argv[1])
file = h5py.File("frames.h5", "w", libver="latest")
frames = file.create_dataset("dp", (0, 16, 16), "u2", maxshape=(None, 16, 16), chunks=(depth, 16, 16))
file.swmr_mode = True
print("ready", flush=True)
values, written = np.load("frames.npy"), 0
for line in sys.stdin:
    length, stop = map(int, line.split())
    frames.resize(length, axis=0)
    frames[written:stop] = values[written:stop]
    written = stop
    file.flush()
    print("written", flush=True)
file.close()
"""
COMMAND = (Path(sys.executable).with_name("ptychoproduct"), "follow", "frames.h5", "scan.h5")
GIVEN = ("--positions", "positions.csv", "--positions-in", "px", "--probe", "probe.npy", "--compression", "portable")


class Acquisition:
    def __init__(self, folder, depth):
        self.folder, self.processes = folder, []
        self.writer = self.start(sys.executable, "-c", WRITER, str(depth), stdin=subprocess.PIPE)
        assert self.writer.stdout.readline() == "ready\n"

    def start(self, *command, **changes):
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | changes
        self.processes.append(subprocess.Popen(command, cwd=self.folder, **pipes))
        return self.processes[-1]

    def write(self, stop, length=None):
        self.writer.stdin.write(f"{length or stop} {stop}\n")
        self.writer.stdin.flush()
        assert self.writer.stdout.readline() == "written\n"

    def close(self):
        self.writer.stdin.close()
        assert self.writer.wait(timeout=30) == 0

    def follow(self, *words):
        return self.start(*COMMAND, *GIVEN, *words)

    def wait_for(self, frames):
        """Wait until another reader sees so many frames in the product."""
        for line in self.start(COMMAND[0], "inspect", "scan.h5", "--watch").stdout:
            seen = int(line.split()[0])
            assert seen <= frames
            if seen == frames:
                return


@pytest.fixture
def acquisition(tmp_path):
    """A function that starts a process that writes frames in chunks of so many."""
    np.save(tmp_path / "frames.npy", FRAMES)
    np.save(tmp_path / "probe.npy", np.ones((16, 16), np.complex64))
    (tmp_path / "positions.csv").write_text("x,y\n" + "".join(f"{row},{2 * row}\n" for row in range(12)))
    started = []

    def start(depth=1):
        started.append(Acquisition(tmp_path, depth))
        return started[-1]

    yield start
    for process in (process for one in started for process in one.processes):
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def first_frame(path, process):
    """Wait until the product can be opened."""
    while not path.exists():
        assert process.poll() is None, process.communicate()


def require_product(path, frames):
    with h5py.File(path) as file:
        assert np.array_equal(file["raw_data/diffraction"][:], FRAMES[:frames])
        assert np.array_equal(file["raw_data/xcoords"][:], np.arange(frames))
        assert np.array_equal(file["raw_data/ycoords"][:], 2 * np.arange(frames))
    assert validate_product(path, deep=True).is_valid


def test_frames_are_in_the_product_before_the_scan_is_complete(acquisition, tmp_path):
    scan = acquisition()
    following = scan.follow()
    scan.write(5)
    first_frame(tmp_path / "scan.h5", following)
    scan.wait_for(5)
    assert following.poll() is None
    scan.write(12)
    assert following.wait(timeout=30) == 0, following.communicate()
    require_product(tmp_path / "scan.h5", 12)


@pytest.mark.parametrize("depth", [1, 4])
def test_what_the_dataset_has_grown_by_is_not_taken_before_it_is_stored(acquisition, tmp_path, depth):
    scan = acquisition(depth)
    scan.write(6, length=12)
    following = scan.follow()
    whole = 6 // depth * depth
    first_frame(tmp_path / "scan.h5", following)
    scan.wait_for(whole)
    scan.write(12)
    scan.close()
    assert following.wait(timeout=30) == 0, following.communicate()
    require_product(tmp_path / "scan.h5", 12)


def test_a_file_that_is_closed_early_is_a_product_of_the_frames_it_has(acquisition, tmp_path):
    scan = acquisition()
    following = scan.follow()
    scan.write(5)
    scan.close()
    assert following.wait(timeout=30) == 0
    assert "5 of 12 positions have a frame" in following.stderr.read()
    require_product(tmp_path / "scan.h5", 5)


@pytest.mark.parametrize(("option", "value", "frames"), [("--frames", "3", 3), ("--timeout", "0.5", 5)])
def test_it_ends_as_an_option_says(acquisition, tmp_path, option, value, frames):
    scan = acquisition()
    scan.write(5)
    following = scan.follow(option, value)
    assert following.wait(timeout=30) == 0, following.communicate()
    require_product(tmp_path / "scan.h5", frames)


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_ctrl_c_completes_the_product(acquisition, tmp_path):
    scan = acquisition()
    scan.write(5)
    following = scan.follow()
    first_frame(tmp_path / "scan.h5", following)
    scan.wait_for(5)
    os.kill(following.pid, signal.SIGINT)
    output, _ = following.communicate(timeout=30)
    assert (following.returncode, "by Ctrl-C; the product is complete" in output) == (0, True)
    require_product(tmp_path / "scan.h5", 5)


def test_no_frame_is_an_error_and_no_product(acquisition, tmp_path):
    following = acquisition().follow("--timeout", "0.2")
    _, errors = following.communicate(timeout=30)
    assert (following.returncode, errors.count("\n"), "no frame has come" in errors) == (2, 1, True)
    assert not (tmp_path / "scan.h5").exists()


@pytest.mark.parametrize(("left_out", "missing"), [("--positions", "there are no positions"), ("--probe", "no probe")])
def test_what_is_missing_is_said(acquisition, left_out, missing):
    place = GIVEN.index(left_out)
    words = [word for number, word in enumerate(GIVEN) if number not in (place, place + 1)]
    following = acquisition().start(*COMMAND, *words)
    _, errors = following.communicate(timeout=30)
    assert (following.returncode, errors.count("\n"), missing in errors) == (2, 1, True)


def test_more_frames_than_positions_are_refused(acquisition):
    _, errors = acquisition().follow("--frames", "13").communicate(timeout=30)
    assert "--frames: must be 1 to 12, as many as there are positions" in errors


def test_a_link_out_of_the_folder_is_refused(acquisition, tmp_path):
    scan = acquisition()
    (tmp_path / "inner").mkdir()
    with h5py.File(tmp_path / "inner" / "frames.h5", "w") as file:
        file["dp"] = h5py.ExternalLink("../frames.h5", "/dp")
    words = (COMMAND[0], "follow", "inner/frames.h5", "scan.h5", *GIVEN)
    following = scan.start(*words)
    assert "outside its folder" in following.communicate(timeout=30)[1]
