"""zstd called directly; hdf5plugin's filter is the judge, both ways."""

from contextlib import suppress

import h5py
import hdf5plugin
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptychoproduct_native import FLETCHER32_ID, ChunkBuffer, Filter, FilterError, FilterPipeline

NUMBER = 32015
LIBRARY = hdf5plugin.get_config().registered_filters["zstd"]
# As HDF5 stores levels: 0 is zstd's default, those above 22 are 22, negative ones are very large.
LEVELS = [0, 1, 2, 3, 5, 9, 13, 16, 19, 22, 117, 157, 2**32 - 1, 2**32 - 5]


def frames(count=6, side=200, seed=0):
    """Amplitudes of counts: blocks that compress, of 128 KiB of elements at most."""
    rng = np.random.default_rng(seed)
    return np.sqrt(rng.poisson(rng.random((side, side)) * 4, (count, side, side))).astype(np.float32)


def stored(data, *values):
    """What HDF5 with hdf5plugin makes of an array as one chunk: the bytes, and our pipeline for them."""
    with h5py.File.in_memory() as file:
        dataset = file.create_dataset(
            "d", data=data, chunks=data.shape, compression=NUMBER, compression_opts=values, allow_unknown_filter=True
        )
        number, flags, values, _ = dataset.id.get_create_plist().get_filter(0)
        return dataset.id.read_direct_chunk((0,) * data.ndim)[1], FilterPipeline(
            [Filter(number, flags, values, LIBRARY)]
        )


@pytest.mark.parametrize("level", LEVELS)
def test_bytes_are_those_of_the_plugin(level):
    noise = np.random.default_rng(1).integers(0, 256, 300_000, np.uint8)
    for data in (frames(), frames(1, 3), np.zeros((4, 1000)), noise):
        expected, pipeline = stored(data, level)
        chunk = ChunkBuffer(data.nbytes)
        memoryview(chunk)[:] = data.tobytes()
        assert bytes(memoryview(pipeline.encode(chunk)[0])) == expected
        assert bytes(memoryview(pipeline.decode(expected, 0, data.nbytes))) == data.tobytes()


def test_many_chunks_one_after_the_other():
    """The state of zstd is used again, also after a chunk that could not be decoded, or was decoded in part."""
    data = frames()
    expected, pipeline = stored(data, 3)
    for _ in range(3):
        chunk = ChunkBuffer(data.nbytes)
        memoryview(chunk)[:] = data.tobytes()
        assert bytes(memoryview(pipeline.encode(chunk)[0])) == expected
        with pytest.raises(FilterError):
            pipeline.decode(expected[:-9], 0, data.nbytes)
        pipeline.decode(expected, 0, data.nbytes, part=slice(0, 10))
        assert bytes(memoryview(pipeline.decode(expected, 0, data.nbytes))) == data.tobytes()


@pytest.mark.parametrize("level", [1, 3, 16])
def test_a_part_of_a_chunk(level):
    data = frames()
    chunk, pipeline = stored(data, level)
    assert pipeline.decodes_parts
    rng = np.random.default_rng(2)
    for start, count in rng.integers(1, data.nbytes, (100, 2)).tolist():
        part = slice(start, min(start + count, data.nbytes))
        assert bytes(memoryview(pipeline.decode(chunk, 0, data.nbytes, part=part)))[part] == data.tobytes()[part]


def test_damage_behind_a_part_is_not_met():
    data = frames()
    chunk, pipeline = stored(data, 3)
    damaged = chunk[: len(chunk) // 2] + bytes(len(chunk) - len(chunk) // 2)
    with pytest.raises(FilterError):
        pipeline.decode(damaged, 0, data.nbytes)
    part = slice(0, data.nbytes // 6)
    assert bytes(memoryview(pipeline.decode(damaged, 0, data.nbytes, part=part)))[part] == data.tobytes()[part]


def test_damage_behind_a_part_is_met_by_the_checksum():
    data = frames()
    chunk, _ = stored(data, 3)
    pipeline = FilterPipeline([Filter(NUMBER, 0, (3,), LIBRARY), Filter(FLETCHER32_ID, 0, ())])
    buffer = ChunkBuffer(data.nbytes)
    memoryview(buffer)[:] = data.tobytes()
    encoded = bytearray(memoryview(pipeline.encode(buffer)[0]))
    assert encoded[:-4] == chunk
    assert pipeline.decodes_parts
    encoded[-20] ^= 1
    with pytest.raises(FilterError):
        pipeline.decode(bytes(encoded), 0, data.nbytes, part=slice(0, 10))


@pytest.fixture(scope="module")
def three_frames():
    data = frames(3)
    return data, *stored(data, 1)


@settings(max_examples=300, deadline=None)
@given(
    changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=4),
    kept=st.integers(0, 10**6),
    stop=st.integers(1, 480_000),
)
def test_changed_and_cut_bytes_decode_to_the_size_or_are_refused(three_frames, changes, kept, stop):
    data, chunk, pipeline = three_frames
    damaged = bytearray(chunk)
    for position, byte in changes:
        damaged[position % len(damaged)] = byte
    damaged = bytes(damaged[: max(1, kept % (2 * len(chunk)))])
    with suppress(FilterError):
        assert len(pipeline.decode(damaged, 0, data.nbytes)) == data.nbytes
    with suppress(FilterError):
        assert len(pipeline.decode(damaged, 0, data.nbytes, part=slice(0, stop))) == data.nbytes
