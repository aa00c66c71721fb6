"""What the converter does with input and output that it cannot use: one line, exit code 2, nothing left behind."""

import pickle
import re
import resource
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

PRECIOUS = b"an older product"


def truncated(path):
    path.write_bytes(path.read_bytes()[:-200])


def with_wrong_crc(path, member="diff3d.npy"):
    """Flip one bit near the end of a member."""
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(member)
    data = bytearray(path.read_bytes())
    start = info.header_offset + 30 + int.from_bytes(data[info.header_offset + 26 : info.header_offset + 28], "little")
    start += int.from_bytes(data[info.header_offset + 28 : info.header_offset + 30], "little")
    data[start + info.compress_size - 8] ^= 1
    path.write_bytes(data)


def text_file(path):
    path.write_text("no archive")


class Hostile:
    def __reduce__(self):
        return (Path.touch, (Path("unpickled"),))


def pickled(value):
    array = np.empty((), dtype=object)
    array[()] = value
    return array


# what is wrong: (keys of the scan, what is done to the file, words that the message has to have)
SCANS = {
    "not a zip": ({}, text_file, ["this is a text file, not an NPZ, NPY or HDF5 file"]),
    "truncated": ({}, truncated, ["ZIP"]),
    "wrong CRC": ({}, with_wrong_crc, ["diff3d", "CRC-32"]),
    "wrong CRC of positions": ({}, lambda path: with_wrong_crc(path, "xcoords.npy"), ["xcoords", "CRC-32"]),
    "no positions": ({"xcoords": None}, None, ["xcoords"]),
    "no probe": ({"probeGuess": None}, None, ["probeGuess"]),
    "no frames": ({"diff3d": None}, None, ["diff3d or diffraction"]),
    "empty positions": ({"xcoords": np.empty(0), "ycoords": np.empty(0)}, None, ["xcoords", "no positions"]),
    "positions that disagree": ({"ycoords": np.zeros(11)}, None, ["ycoords", "11", "12"]),
    "indexes that disagree": ({"scan_index": np.arange(11)}, None, ["scan_index", "11", "12"]),
    "frames that disagree": ({"diff3d": np.zeros((11, 16, 16))}, None, ["diff3d", "(11, 16, 16)", "12"]),
    "positions in a plane": ({"xcoords": np.zeros((12, 2))}, None, ["xcoords", "(12, 2)", "1 dimension"]),
    "positions that are none": ({"xcoords": np.full(12, np.nan)}, None, ["xcoords", "nan", "finite"]),
    "one frame only": ({"diff3d": np.zeros((16, 16))}, None, ["diff3d", "(16, 16)", "three axes"]),
    "frames of no size": (
        {"diff3d": np.zeros((12, 0, 16)), "probeGuess": np.ones((16, 16), complex)},
        None,
        ["diff3d", "(12, 0, 16)"],
    ),
    "complex frames": ({"diff3d": np.zeros((12, 16, 16), complex)}, None, ["diff3d", "complex128", "real"]),
    "a mask for a probe": ({"probeGuess": np.zeros((16, 16), bool)}, None, ["probeGuess", "bool", "complex"]),
    "flat probe": ({"probeGuess": np.zeros(16, complex)}, None, ["probeGuess", "(16,)", "dimensions"]),
    "layers without distance": ({"objectGuess": np.ones((3, 8, 8), complex)}, None, ["object_layer_spacing_m", "2"]),
    "objects in Python": ({"Y": pickled([1, 2])}, None, ["Y", "Python objects", "pickles are not opened"]),
    "hostile metadata": ({"_metadata": pickled(Hostile())}, None, ["_metadata", "pickle"]),
    "hostile frames": ({"diff3d": pickled(Hostile())}, None, ["diff3d", "Python objects"]),
}


@pytest.fixture
def destination(tmp_path):
    path = tmp_path / "out" / "product.h5"
    path.parent.mkdir()
    path.write_bytes(PRECIOUS)
    return path


def fail(run_command, source, destination, *words, **changes):
    """Convert, and return the only line of the failure."""
    result = run_command("ptychoproduct", "convert", source, destination, "--quiet", *words, **changes)
    assert (result.returncode, result.stdout) == (2, ""), result
    (line,) = result.stderr.splitlines()
    return line


def is_untouched(destination):
    return [path.name for path in destination.parent.iterdir()] == [destination.name] and (
        destination.read_bytes() == PRECIOUS
    )


@pytest.mark.parametrize("compress", [False, True], ids=["stored", "deflated"])
@pytest.mark.parametrize("case", SCANS)
def test_a_bad_scan_is_told_in_one_line(run_command, save_scan, destination, case, compress):
    changes, damage, words = SCANS[case]
    source = save_scan("bad.npz", compress, **changes)
    if damage is not None:
        damage(source)
    line = fail(run_command, source, destination)
    if compress and "CRC-32" in words:
        words = words[:1]  # the deflated stream itself may be found damaged
    assert [word for word in ["bad.npz", *words] if word not in line] == []
    assert is_untouched(destination)


def test_nothing_is_unpickled(run_command, save_scan, destination, tmp_path):
    source = save_scan(_metadata=pickled(Hostile()))
    assert b"touch" in pickle.dumps(Hostile())
    fail(run_command, source, destination)
    assert not (tmp_path / "unpickled").exists()


def test_a_missing_scan_is_told(run_command, destination):
    assert "missing.npz: no such file" in fail(run_command, "missing.npz", destination)


def test_a_folder_is_no_scan(run_command, destination, tmp_path):
    assert "found a directory" in fail(run_command, tmp_path, destination)


def test_a_product_needs_its_suffix(run_command, save_scan, destination):
    assert "must end in .h5 or .hdf5" in fail(run_command, save_scan(), destination.with_suffix(".nxs"))


def test_a_product_cannot_be_its_own_scan(run_command, save_scan, tmp_path):
    source = save_scan().rename(tmp_path / "scan.h5")
    before = source.read_bytes()
    assert "the input itself" in fail(run_command, source, source)
    assert source.read_bytes() == before


def test_a_link_to_the_scan_is_the_scan(run_command, save_scan, tmp_path):
    source = save_scan()
    link = tmp_path / "product.h5"
    link.symlink_to(source)
    assert "the input itself" in fail(run_command, source, link)


def test_a_folder_is_no_product(run_command, save_scan, tmp_path):
    (tmp_path / "folder.h5").mkdir()
    assert "is a folder" in fail(run_command, save_scan(), tmp_path / "folder.h5")


def test_a_folder_that_cannot_be_written_is_told(run_command, save_scan):
    assert "cannot be written" in fail(run_command, save_scan(), "/proc/product.h5")


def test_an_unknown_codec_is_told_with_the_nearest(run_command, save_scan, destination):
    assert "perhaps zstd:3 is meant" in fail(run_command, save_scan(), destination, "--compression", "zsdt:3")


def test_an_axis_order_that_does_not_fit_is_told(run_command, save_scan, destination):
    line = fail(run_command, save_scan(), destination, "--axis-order", "HWN")
    assert "HWN makes 16 frames of diff3d, but there are 12 positions" in line


def test_two_axes_of_the_scan_length_need_an_axis_order(run_command, save_scan, destination):
    source = save_scan(diff3d=np.zeros((7, 12, 12), np.float32))
    assert "two axes of length 12, the number of positions; give the axis order" in fail(
        run_command, source, destination
    )


def limited_file_size():
    """Let the file system take no more than 4 KiB of a file, as a full disk does."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))


@pytest.mark.parametrize("compression", ["none", "bitshuffle-zstd:1"])
def test_a_full_disk_leaves_the_old_product(run_command, save_scan, destination, compression):
    words = ("--compression", compression)
    line = fail(run_command, save_scan(), destination, *words, preexec_fn=limited_file_size)
    assert "product.h5: cannot be written: File too large" in line
    assert is_untouched(destination)


def test_a_full_disk_is_told_by_the_importer(run_command, save_scan, tmp_path):
    run_command("ptychoproduct", "convert", save_scan(), "product.h5")
    result = run_command("ptychoproduct", "import", "product.h5", "back.npz", preexec_fn=limited_file_size)
    assert (result.returncode, list(tmp_path.glob("*back*")), list(tmp_path.glob(".*"))) == (2, [], [])


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_the_old_product(save_scan, destination, number, code):
    """The conversion is stopped once its unfinished file is there."""
    frames = np.random.default_rng(0).integers(0, 2**16, (12, 1024, 1024), dtype=np.uint16)
    source = save_scan(diff3d=frames)
    program = Path(sys.executable).with_name("ptychoproduct")
    command = [program, "convert", source, destination, "--quiet", "--compression", "zstd:22"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        while len(list(destination.parent.iterdir())) == 1 and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(number)
        _, message = process.communicate(timeout=60)
    assert (process.returncode, message.count("\n")) == (code, 1)
    assert re.search(r"removed \S+/\.ptychoproduct-[\w-]+\.part, the unfinished product\.h5; nothing was left", message)
    assert is_untouched(destination)


def test_the_product_is_never_half_written(save_scan, tmp_path):
    """Whoever opens the name while the conversion runs finds no file, or the complete one."""
    source, destination = save_scan(diff3d=np.ones((12, 512, 512), np.float32)), tmp_path / "product.h5"
    program = Path(sys.executable).with_name("ptychoproduct")
    sizes = set()
    with subprocess.Popen([program, "convert", source, destination, "--quiet"], stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            sizes.add(destination.stat().st_size if destination.exists() else 0)
    sizes.add(destination.stat().st_size)
    assert len(sizes - {0}) == 1
