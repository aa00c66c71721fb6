"""Damaged heaps of strings: HDF5 would loop for ever on some, so it may only be asked with a time limit."""

import struct
import subprocess
import sys

import h5py
import numpy as np
import pytest

from ptychoproduct.errors import ContractError
from ptychoproduct.hdf5.heap_check import require_sound_heaps

_HDF5_READS = "import sys, h5py; dict(h5py.File(sys.argv[1]).attrs)"


def _write(path, *, data_bytes=0, libver="earliest"):
    """Strings in attributes and in datasets, some longer than a heap, some deleted again."""
    with h5py.File(path, "w", libver=libver) as file:
        for index in range(30):
            file.attrs[f"text{index}"] = "word " * index
        file["texts"] = np.array(["a", "", "b" * 5000, "c" * 17], object)
        if data_bytes:
            file.create_dataset("frames", data=np.arange(data_bytes, dtype=np.uint8), chunks=(65536,), compression=1)
            file.create_dataset("plain", data=np.arange(data_bytes, dtype=np.uint8))
        file["lists"] = 1
        for index in range(0, 30, 3):
            del file.attrs[f"text{index}"]
    return path


def _check(path):
    with h5py.File(path) as file:
        require_sound_heaps(file)


def _heap_places(path):
    data = path.read_bytes()
    place = data.find(b"GCOL\x01\0\0\0")
    while place >= 0:
        yield place
        place = data.find(b"GCOL\x01\0\0\0", place + 1)


@pytest.mark.parametrize("libver", ["earliest", "latest"])
@pytest.mark.parametrize("data_bytes", [0, 6 * 1024**2])
def test_sound_heaps_raise_no_alarm(tmp_path, libver, data_bytes):
    path = _write(tmp_path / "sound.h5", data_bytes=data_bytes, libver=libver)
    assert list(_heap_places(path))
    _check(path)


@pytest.mark.parametrize("data_bytes", [0, 6 * 1024**2])
@pytest.mark.parametrize("size", [0, 7, 2**64 - 8, 2**63, 2**32])
def test_a_wrong_size_is_found(tmp_path, data_bytes, size):
    path = _write(tmp_path / "damaged.h5", data_bytes=data_bytes)
    *_, heap = _heap_places(path)
    with path.open("r+b") as file:
        file.seek(heap + 16)
        file.write(struct.pack("<HHIQ", 0, 0, 0, size))
    with pytest.raises(ContractError, match="damaged"):
        _check(path)


def test_whatever_hangs_hdf5_is_found(tmp_path):
    """The sizes of the first objects are changed; HDF5, in a process of its own, is the judge."""
    path = _write(tmp_path / "damaged.h5")
    sound = path.read_bytes()
    hung = 0
    for depth, size in ((0, 0), (2, 0), (1, 16), (2, 1 << 40)):
        data, place = bytearray(sound), next(_heap_places(path)) + 16
        for _ in range(depth):  # from object to object
            place += 16 + (struct.unpack_from("<Q", data, place + 8)[0] + 7) // 8 * 8
        struct.pack_into("<HHIQ", data, place, 0, 1, 0, size)
        path.write_bytes(data)
        try:
            subprocess.run([sys.executable, "-c", _HDF5_READS, path], timeout=3, capture_output=True, check=False)
        except subprocess.TimeoutExpired:
            hung += 1
            with pytest.raises(ContractError, match="damaged"):
                _check(path)
    assert hung >= 2


def _virtual(file):
    layout = h5py.VirtualLayout((10,), "i8")
    layout[:] = h5py.VirtualSource("other.h5", "d", (10,))
    file.create_virtual_dataset("virtual", layout)


def _regions(file):
    data = file.create_dataset("data", data=np.arange(20))
    file["regions"] = np.array([data.regionref[i : i + 1] for i in range(20)], h5py.regionref_dtype)
    file["lists"] = np.array([np.arange(3), np.arange(50)], object).astype(h5py.vlen_dtype("i8"))


@pytest.mark.parametrize("content", [_virtual, _regions])
@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_other_uses_of_heaps_raise_no_alarm(tmp_path, content, libver):
    with h5py.File(tmp_path / "sound.h5", "w", libver=libver) as file:
        content(file)
    _check(tmp_path / "sound.h5")


def test_leftovers_of_texts_raise_no_alarm(tmp_path):
    """What HDF5 has freed may be written over in part."""
    path = tmp_path / "sound.h5"
    with h5py.File(path, "w") as file:
        file["text"] = "some text"
    for value in (b"ab\xff\xfe", np.arange(3, dtype="u8"), "other"):
        with h5py.File(path, "a") as file:
            del file["text"]
            file["text"] = value
        _check(path)


def _virtual(path, *, userblock_size=0, data_bytes=0):
    """A virtual dataset of two others, among attributes and other data."""
    layout = h5py.VirtualLayout((8, 3), "f4")
    for part in range(2):
        layout[4 * part : 4 * part + 4] = h5py.VirtualSource(f"part{part}.h5", "frames", (4, 3))
    with h5py.File(path, "w", userblock_size=userblock_size) as file:
        file["group/plain"] = np.arange(data_bytes, dtype=np.uint8)
        file.create_virtual_dataset("group/frames", layout).attrs["text"] = "word"
    return path


@pytest.mark.parametrize(("userblock_size", "data_bytes"), [(0, 10), (512, 10), (0, 6 * 1024**2)])
def test_every_flipped_bit_in_the_mappings_of_a_virtual_dataset_is_found(tmp_path, userblock_size, data_bytes):
    """HDF5 itself crashes on some, so that it may not open the dataset."""
    path = _virtual(tmp_path / "virtual.h5", userblock_size=userblock_size, data_bytes=data_bytes)
    _check(path)
    sound = path.read_bytes()
    first = sound.index(b"part0.h5\0") - 9  # a version and the number of mappings
    stop = sound.index(b"part1.h5\0") + 60
    for place in range(first, stop):
        damaged = bytearray(sound)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        with pytest.raises(ContractError, match="virtual dataset"):
            _check(path)


def test_virtual_datasets_of_the_newest_kind_raise_no_alarm(tmp_path):
    layout = h5py.VirtualLayout((8, 3), "f4", maxshape=(None, 3))
    layout[:] = h5py.VirtualSource("part.h5", "frames", (8, 3), maxshape=(None, 3))
    with h5py.File(tmp_path / "virtual.h5", "w", libver="latest") as file:
        file.create_virtual_dataset("frames", layout)
    _check(tmp_path / "virtual.h5")


def test_what_looks_like_mappings_behind_the_end_of_all_files_raises_no_alarm(tmp_path):
    with h5py.File(tmp_path / "file.h5", "w") as file:
        file["data"] = 1
        file["data"].attrs["bytes"] = np.frombuffer(b"\x04\x03" + b"\xff" * 8 + bytes(4), np.uint8)
    _check(tmp_path / "file.h5")
