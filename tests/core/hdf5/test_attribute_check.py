"""Attributes whose texts say to be longer than the file, for which HDF5 would take gigabytes."""

import struct

import h5py
import numpy as np
import pytest

from ptychoproduct.errors import ContractError
from ptychoproduct.hdf5.attribute_check import require_short_texts


def _check(path):
    with h5py.File(path) as file:
        require_short_texts(file)


def _damaged(path, place, length):
    """Write texts in attributes, and change the length of one of them."""
    with h5py.File(path, "w") as file:
        file["group/data"] = np.arange(3)
        for number in range(12):  # more than one part of a header
            file["group/data"].attrs[f"number{number}"] = number
        for name in ("/", "group", "group/data"):
            file[name].attrs["text"] = f"text of {name}"
        file["group/data"].attrs.create("texts", ["one", "three"], dtype=h5py.string_dtype())
    data = bytearray(path.read_bytes())
    heap = struct.pack("<Q", data.index(b"GCOL"))
    texts = {"/": 9, "group": 13, "group/data": 18, "texts": 5}
    places = [at for at in range(4, len(data)) if data.startswith(heap, at)]
    (found,) = (at - 4 for at in places if data[at - 4 : at] == struct.pack("<I", texts[place]))
    struct.pack_into("<I", data, found, length)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("place", ["/", "group", "group/data", "texts"])
@pytest.mark.parametrize("length", [2**20, 0xFF000008, 2**32 - 1])
def test_a_text_that_is_longer_than_the_file_is_found(tmp_path, place, length):
    with pytest.raises(ContractError, match=f"an attribute cannot have {length} elements in a text or list"):
        _check(_damaged(tmp_path / "damaged.h5", place, length))


@pytest.mark.parametrize("libver", ["earliest", "v108", "latest"])
def test_sound_attributes_raise_no_alarm(tmp_path, libver):
    path = tmp_path / "sound.h5"
    pair = np.dtype([("text", h5py.string_dtype()), ("number", "f8")])
    with h5py.File(path, "w", libver=libver, userblock_size=512) as file:
        for round_ in range(3):
            for number in range(30):
                owner = file.require_group(f"group{number % 4}")
                owner.attrs[f"text{number % 7}"] = "word " * number * round_
                owner.attrs["numbers"] = np.full(number, 0xFFFFFFFF, "u4")
                lists = np.array([np.arange(3), np.arange(number + 4)], object)
                owner.attrs["lists"] = lists.astype(h5py.vlen_dtype("i8"))
                owner.attrs["pairs"] = np.array([("a", 1.0), ("b", 2.0)], pair)
                owner.attrs["empty"] = h5py.Empty(h5py.string_dtype())
    _check(path)


def test_a_damaged_root_is_left_to_what_reads_it(tmp_path):
    path = tmp_path / "damaged.h5"
    with h5py.File(path, "w", libver="v108") as file:
        file["data"] = np.arange(3)
    data = bytearray(path.read_bytes())
    data[data.index(b"OHDR") + 30] ^= 1
    path.write_bytes(data)
    with pytest.raises(KeyError), h5py.File(path) as file:
        file["data"]
    _check(path)
