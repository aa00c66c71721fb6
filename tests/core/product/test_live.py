"""A product that others read while it is written; h5py in another process is the reader."""

import subprocess
import sys

import h5py
import numpy as np
import pytest

from ptychoproduct import ExportOptions, OptionError, ProductWriter, open_product, validate_product

PX, STEP = 16, 5
PROBE = np.ones((PX, PX), np.complex64)
READ = """\
import sys, h5py, hdf5plugin
with h5py.File(sys.argv[1], "r", swmr=True) as file:
    frames = file["raw_data/diffraction"]
    print(len(frames), len(file["probe_position_x_m"]), int(frames[-1, 0, 0]), file.attrs["name"])
"""
KILLED = """\
import os, signal, sys, numpy as np
from ptychoproduct import ProductWriter
with ProductWriter(sys.argv[1], live=True) as writer:
    writer.set_probe(np.ones((16, 16), np.complex64))
    for number in range(3):
        writer.append(np.full((1, 16, 16), number, np.uint16), [number], [number])
    os.kill(os.getpid(), signal.SIGKILL)
"""

pytestmark = pytest.mark.filterwarnings("ignore::ptychoproduct.errors.ProductWarning")


def block(number):
    return np.full((STEP, PX, PX), number, np.uint16), np.arange(STEP) + number, np.arange(STEP) * 2.0


CODECS = ("zstd:3+fletcher32", "bitshuffle-zstd:1,block=256KiB+fletcher32", "shuffle+gzip:2", "blosc2-lz4:5", "none")


def seen(path):
    result = subprocess.run([sys.executable, "-c", READ, path], capture_output=True, text=True, check=True)
    return result.stdout.split()


@pytest.mark.parametrize("codec", CODECS)
def test_another_process_sees_each_block_as_soon_as_it_was_appended(tmp_path, centered_meta, codec):
    path = tmp_path / "product.h5"
    object.__setattr__(centered_meta, "name", "live")
    with ProductWriter(path, centered_meta, live=True, options=ExportOptions(codec, chunk_frames=1)) as writer:
        writer.set_probe(PROBE)
        for number in range(2):
            writer.append(*block(number))
            frames = STEP * (number + 1)
            assert seen(path) == [str(frames), str(frames), str(number), "live"]


def test_the_product_is_that_of_a_writer_that_is_not_live(tmp_path, centered_meta):
    for name, live in (("live.h5", True), ("product.h5", False)):
        options = ExportOptions(chunk_frames=1)
        with ProductWriter(tmp_path / name, centered_meta, live=live, options=options) as writer:
            writer.set_probe(PROBE)
            writer.set_object(np.ones((64, 64), np.complex64))
            for number in range(3):
                writer.append(*block(number))
    assert (tmp_path / "live.h5").read_bytes() == (tmp_path / "product.h5").read_bytes()
    assert validate_product(tmp_path / "live.h5", deep=True).is_valid


@pytest.mark.skipif(sys.platform == "win32", reason="kills")
def test_what_was_flushed_is_there_after_a_kill(tmp_path):
    path = tmp_path / "product.h5"
    assert subprocess.run([sys.executable, "-c", KILLED, path], capture_output=True).returncode == -9
    with open_product(path) as product:
        assert product.frames[:, 0, 0].tolist() == [0, 1, 2]
        assert product.x_m.tolist() == [0.0, 5e-8, 1e-7]


def test_a_probe_is_needed_before_the_first_frame(tmp_path):
    with (
        pytest.raises(OptionError, match="call set_probe before append"),
        ProductWriter(tmp_path / "product.h5", live=True) as writer,
    ):
        writer.append(*block(0))


def test_watching_ends_when_the_product_is_complete(tmp_path, centered_meta):
    path = tmp_path / "product.h5"
    command = [sys.executable, "-c", "from ptychoproduct_cli.main import main; main()", "inspect", path, "--watch"]
    with ProductWriter(path, centered_meta, live=True) as writer:
        writer.set_probe(PROBE)
        writer.append(*block(0))
        watching = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert watching.stdout.readline() == "5 frames\n"
        writer.append(*block(1))
    assert watching.communicate(timeout=30)[0].splitlines()[-1] == "10 frames, complete"
    assert watching.returncode == 0
    with h5py.File(path) as file:
        assert len(file["raw_data/diffraction"]) == 10
