"""Scans small enough to be made anew in every test."""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ptychoproduct import ExportMeta

# A shell starts background jobs with SIGINT ignored, nohup with SIGHUP; what they start inherits that.
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

POSITIONS = 12
FRAME_PX = 16
OBJECT_PX = 64


@pytest.fixture
def make_scan():
    """A function that gives the arrays of a small scan; keywords replace keys, None removes one."""

    def make(**changes):
        rng = np.random.default_rng(7)
        arrays = {
            "xcoords": rng.uniform(8, 56, POSITIONS),
            "ycoords": rng.uniform(8, 56, POSITIONS),
            "diff3d": np.sqrt(rng.poisson(3, (POSITIONS, FRAME_PX, FRAME_PX))).astype(np.float32),
            "probeGuess": _complex(rng, (FRAME_PX, FRAME_PX)),
            "objectGuess": _complex(rng, (OBJECT_PX, OBJECT_PX)),
            "scan_index": np.arange(POSITIONS),
        }
        arrays["xcoords_start"] = arrays["xcoords"] + 0.25
        arrays["ycoords_start"] = arrays["ycoords"] - 0.25
        arrays |= changes
        sides = list(np.shape(changes.get("diff3d")))
        if len(sides) == 3 and "probeGuess" not in changes and (positions := np.size(arrays["xcoords"])) in sides:
            sides.remove(positions)
            if sides != [FRAME_PX, FRAME_PX]:  # a probe has the size of the frames
                arrays["probeGuess"] = _complex(rng, sides)
        return {key: value for key, value in arrays.items() if value is not None}

    return make


@pytest.fixture
def save_scan(make_scan, tmp_path):
    """A function that saves such a scan as an NPZ file."""

    def save(name="scan.npz", compress=False, **changes):
        path = tmp_path / name
        (np.savez_compressed if compress else np.savez)(path, **make_scan(**changes))
        return path

    return save


@pytest.fixture
def centered_meta():
    """Metadata under which the scan lies on the object: positions count from the object's corner."""
    pixel_m = 5e-8
    return ExportMeta(object_center_x_m=(OBJECT_PX - 1) / 2 * pixel_m, object_center_y_m=(OBJECT_PX - 1) / 2 * pixel_m)


def _complex(rng, shape):
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)


@pytest.fixture
def run_command(tmp_path):
    """A function that runs an installed command in the test's folder, and returns the finished process."""

    def run(*words, **changes):
        command = [str(Path(sys.executable).with_name(str(words[0]))), *map(str, words[1:])]
        settings = {"cwd": tmp_path, "capture_output": True, "text": True, "timeout": 120}
        return subprocess.run(command, check=False, **settings | changes)

    return run
