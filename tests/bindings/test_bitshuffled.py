"""Our own bitshuffle, with each kernel that this processor can run; hdf5plugin's filter is the judge, both ways."""

from contextlib import suppress

import h5py
import hdf5plugin
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptychoproduct_native import ChunkBuffer, Filter, FilterError, FilterPipeline
from ptychoproduct_native.bitshuffled import bitshuffle_kernels, use_bitshuffle_kernel

LIBRARY = hdf5plugin.get_config().registered_filters["bshuf"]
DTYPES = ["u1", "<i2", "<f4", "<f8", "<c16"]
CODECS = {"lz4": dict(hdf5plugin.Bitshuffle(nelems=0, cname="lz4"))} | {
    f"zstd{level}-{block}": dict(hdf5plugin.Bitshuffle(nelems=block, cname="zstd", clevel=level))
    for level, block in ((1, 0), (1, 4096), (9, 72), (19, 65536))
}


@pytest.fixture(params=bitshuffle_kernels())
def kernel(request):
    use_bitshuffle_kernel(request.param)
    yield request.param
    use_bitshuffle_kernel(bitshuffle_kernels()[0])


def stored(data, options):
    """What HDF5 with hdf5plugin makes of an array as one chunk: the bytes, and our pipeline for them."""
    with h5py.File("memory", "w", driver="core", backing_store=False) as file:
        dataset = file.create_dataset("d", data=data, chunks=data.shape, **options)
        number, flags, values, _ = dataset.id.get_create_plist().get_filter(0)
        chunk = dataset.id.read_direct_chunk((0,))[1]
    return chunk, FilterPipeline([Filter(number, flags, values, LIBRARY)])


def encoded(pipeline, data):
    chunk = ChunkBuffer(data.nbytes)
    memoryview(chunk)[:] = data.tobytes()
    return bytes(memoryview(pipeline.encode(chunk)[0]))


def elements(dtype, count, seed=0):
    """Few distinct bytes, so that they compress, with some noise, so that no bit is always the same."""
    rng = np.random.default_rng(seed)
    values = rng.poisson(3, count * np.dtype(dtype).itemsize).astype("u1")
    values[rng.random(len(values)) < 0.05] = 0xA5
    return np.frombuffer(values.tobytes(), dtype)


def test_the_plain_kernel_runs_everywhere():
    assert bitshuffle_kernels()[-1] == "plain"


@pytest.mark.parametrize("options", CODECS.values(), ids=CODECS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.usefixtures("kernel")
def test_bytes_are_those_of_the_plugin(dtype, options):
    for count in (1, 7, 8, 9, 63, 511, 2047, 2048, 2056, 4095, 4101, 10_001):
        data = elements(dtype, count)
        chunk, pipeline = stored(data, options)
        assert encoded(pipeline, data) == chunk
        assert bytes(memoryview(pipeline.decode(chunk, 0, data.nbytes))) == data.tobytes()


@settings(max_examples=60, deadline=None)
@given(
    data=st.data(),
    dtype=st.sampled_from(DTYPES),
    count=st.integers(1, 6000),
    block=st.integers(1, 600),
    seed=st.integers(0, 9),
)
def test_any_length_and_block(data, dtype, count, block, seed):
    use_bitshuffle_kernel(data.draw(st.sampled_from(bitshuffle_kernels())))
    array = elements(dtype, count, seed)
    chunk, pipeline = stored(array, dict(hdf5plugin.Bitshuffle(nelems=8 * block, cname="zstd", clevel=1)))
    assert encoded(pipeline, array) == chunk
    assert bytes(memoryview(pipeline.decode(chunk, 0, array.nbytes))) == array.tobytes()
    use_bitshuffle_kernel(bitshuffle_kernels()[0])


@pytest.mark.usefixtures("kernel")
def test_encoded_bytes_at_any_address_are_decoded():
    data = elements("<u4", 5000)
    chunk, pipeline = stored(data, CODECS["zstd1-4096"])
    for offset in range(1, 9):
        moved = memoryview(bytes(offset) + chunk)[offset:]
        assert bytes(memoryview(pipeline.decode(moved, 0, data.nbytes))) == data.tobytes()


@pytest.mark.parametrize("dtype", ["S3", "S12", "S40"])
def test_elements_of_other_sizes_take_the_plugins_way(dtype):
    data = elements(dtype, 3000)
    chunk, pipeline = stored(data, CODECS["zstd1-0"])
    assert encoded(pipeline, data) == chunk
    assert bytes(memoryview(pipeline.decode(chunk, 0, data.nbytes))) == data.tobytes()


@settings(max_examples=300, deadline=None)
@given(
    codec=st.sampled_from(sorted(CODECS)),
    changes=st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), max_size=4),
    kept=st.integers(0, 4000),
)
def test_changed_and_cut_bytes_decode_to_the_size_or_are_refused(codec, changes, kept):
    data = elements("<u2", 3001)
    chunk, pipeline = stored(data, CODECS[codec])
    damaged = bytearray(chunk)
    for position, byte in changes:
        damaged[position % len(damaged)] = byte
    with suppress(FilterError):
        assert len(pipeline.decode(bytes(damaged[: max(1, kept)]), 0, data.nbytes)) == data.nbytes


def test_a_block_is_never_decoded_to_more_than_its_place():
    """A frame of zstd that decodes to one element more than the block says."""
    long, _ = stored(elements("<u2", 4096), dict(hdf5plugin.Bitshuffle(nelems=4096, cname="zstd")))
    short, pipeline = stored(elements("<u2", 4088), dict(hdf5plugin.Bitshuffle(nelems=4096, cname="zstd")))
    with pytest.raises(FilterError):
        pipeline.decode(short[:12] + long[12:], 0, 2 * 4088)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 6000), st.integers(1, 6000), st.sampled_from(["zstd1-4096", "lz4", "zstd9-72"]))
def test_a_part_of_a_chunk(start, count, codec):
    data = elements("<u2", 3001)
    chunk, pipeline = stored(data, CODECS[codec])
    part = slice(start, min(start + count, data.nbytes))
    assert bytes(memoryview(pipeline.decode(chunk, 0, data.nbytes, part=part)))[part] == data.tobytes()[part]
    assert pipeline.decodes_parts


def test_damage_outside_of_a_part_is_not_met():
    data = elements("<u2", 4096 * 3)
    chunk, pipeline = stored(data, dict(hdf5plugin.Bitshuffle(nelems=4096, cname="zstd")))
    size = int.from_bytes(chunk[12:16], "big")
    damaged = chunk[:16] + bytes(size) + chunk[16 + size :]
    with pytest.raises(FilterError):
        pipeline.decode(damaged, 0, data.nbytes)
    part = slice(4096 * 2, data.nbytes)
    assert bytes(memoryview(pipeline.decode(damaged, 0, data.nbytes, part=part)))[part] == data.tobytes()[part]
