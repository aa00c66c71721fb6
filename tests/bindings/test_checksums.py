"""HDF5's checksum of its metadata; the judges are files that HDF5 wrote, and what its author has published."""

import struct

import h5py
import pytest

from ptychoproduct_native import metadata_checksum


def test_known_values():
    """Those in lookup3.c, https://www.burtleburtle.net/bob/c/lookup3.c."""
    assert metadata_checksum(b"") == 0xDEADBEEF
    assert metadata_checksum(b"Four score and seven years ago") == 0x17770551


def test_the_superblock_of_a_file(tmp_path):
    with h5py.File(tmp_path / "file.h5", "w", libver="latest"):
        pass
    block = (tmp_path / "file.h5").read_bytes()[:48]
    assert metadata_checksum(block[:44]) == struct.unpack("<I", block[44:])[0]


@pytest.mark.parametrize("letters", range(1, 14))
def test_headers_of_every_length(tmp_path, letters):
    """The first block of a new object header: its size is in it, and a checksum behind it."""
    with h5py.File(tmp_path / "file.h5", "w", libver="latest") as file:
        group = file.create_group("group")
        group.attrs["a" * letters] = "b" * letters
        address = h5py.h5o.get_info(group.id).addr
    header = (tmp_path / "file.h5").read_bytes()[address:]
    assert header[:5] == b"OHDR\x02"
    flags = header[5]
    first = 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
    size_bytes = 1 << (flags & 3)
    end = first + size_bytes + int.from_bytes(header[first : first + size_bytes], "little")
    assert metadata_checksum(header[:end]) == struct.unpack("<I", header[end : end + 4])[0]


def test_memory_that_is_not_contiguous_is_refused():
    with pytest.raises(BufferError):
        metadata_checksum(memoryview(bytes(10))[::2])
