import h5py
import hdf5plugin
import numpy as np
import pytest

from ptychoproduct.codecs import parse_codec
from ptychoproduct.storedcodec import stored_codec

VALUES = np.arange(4096, dtype=np.uint32).reshape(16, 16, 16)


def spelled(tmp_path, **options):
    with h5py.File(tmp_path / "file.h5", "w") as file:
        return stored_codec(file.create_dataset("values", data=VALUES, chunks=(4, 16, 16), **options))


@pytest.mark.parametrize(
    "spelling",
    [
        *("none", "gzip:4", "shuffle+gzip:9", "zstd:3", "shuffle+zstd:7"),
        *("bitshuffle-lz4,block=8KiB", "bitshuffle-zstd:1,block=64KiB"),
    ],
)
def test_a_codec_is_spelled_as_it_was_asked_for(tmp_path, spelling):
    assert spelled(tmp_path, **parse_codec(spelling).dataset_options(VALUES.dtype)) == spelling


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"compression": "gzip", "fletcher32": True}, "gzip:4+fletcher32"),
        (hdf5plugin.BZip2(7), "bzip2:7"),
        (hdf5plugin.LZ4(), "lz4"),
        (hdf5plugin.Bitshuffle(cname="none"), "bitshuffle"),
        (hdf5plugin.Zfp(reversible=True), "zfp(32013)"),
        ({"compression": "lzf"}, "lzf(32000)"),
    ],
)
def test_filters_of_other_writers_are_spelled_too(tmp_path, options, expected):
    assert spelled(tmp_path, **options) == expected
