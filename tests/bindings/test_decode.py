"""FilterPipeline.decode: what h5py with hdf5plugin encodes, and bytes that nobody encoded."""

import subprocess
import sys
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptychoproduct_native import (
    DEFLATE_ID,
    SHUFFLE_ID,
    ChunkBuffer,
    Filter,
    FilterError,
    FilterPipeline,
)

LIBRARIES = hdf5plugin.get_config().registered_filters
PLUGINS = {
    307: LIBRARIES["bzip2"],
    32001: LIBRARIES["blosc"],
    32004: LIBRARIES["lz4"],
    32008: LIBRARIES["bshuf"],
    32015: LIBRARIES["zstd"],
    32026: LIBRARIES["blosc2"],
}
SHAPE = (3, 17, 19)

OPTIONS = {
    "none": {},
    "shuffle": {"shuffle": True},
    "fletcher32": {"fletcher32": True},
    "gzip-0": {"compression": "gzip", "compression_opts": 0},
    "gzip-9": {"compression": "gzip", "compression_opts": 9},
    "shuffle-gzip": {"compression": "gzip", "shuffle": True},
    "shuffle-gzip-fletcher32": {"compression": "gzip", "shuffle": True, "fletcher32": True},
    "zstd": dict(hdf5plugin.Zstd(clevel=1)),
    "shuffle-zstd-fletcher32": {"shuffle": True, "fletcher32": True, **hdf5plugin.Zstd(clevel=3)},
    "bitshuffle-none": dict(hdf5plugin.Bitshuffle(cname="none")),
    "bitshuffle-lz4": dict(hdf5plugin.Bitshuffle(cname="lz4")),
    "bitshuffle-lz4-block": dict(hdf5plugin.Bitshuffle(nelems=64, cname="lz4")),
    "bitshuffle-zstd": dict(hdf5plugin.Bitshuffle(nelems=4096, cname="zstd", clevel=3)),
    "lz4": dict(hdf5plugin.LZ4()),
    "lz4-block": dict(hdf5plugin.LZ4(nbytes=512)),
    "blosc": dict(hdf5plugin.Blosc()),
    "blosc-zstd-bitshuffle": dict(hdf5plugin.Blosc(cname="zstd", shuffle=hdf5plugin.Blosc.BITSHUFFLE)),
    "blosc2": dict(hdf5plugin.Blosc2()),
    "blosc2-zstd": dict(hdf5plugin.Blosc2(cname="zstd", clevel=3)),
    "bzip2": dict(hdf5plugin.BZip2()),
}
EVERY = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)


def pipeline_of(dataset):
    properties = dataset.id.get_create_plist()
    filters = [properties.get_filter(i) for i in range(properties.get_nfilters())]
    return FilterPipeline([Filter(code, flags, values, PLUGINS.get(code)) for code, flags, values, _ in filters])


def encoded(array, options):
    """Let h5py encode an array as one chunk; return the pipeline, the filter mask and the bytes."""
    with h5py.File.in_memory() as file:
        dataset = file.create_dataset("a", data=array, chunks=array.shape, **options)
        file.flush()
        return pipeline_of(dataset), *dataset.id.read_direct_chunk((0,) * array.ndim)


def frames(dtype, shape=SHAPE):
    counts = np.random.default_rng(1).poisson(3, shape)
    return (np.sqrt(counts) if np.dtype(dtype).kind == "f" else counts).astype(dtype)


@EVERY
@pytest.mark.parametrize("dtype", ["u1", "i2", "f4", "f8", "c16"])
def test_a_pipeline_decodes_what_h5py_encodes(options, dtype):
    array = frames(dtype)
    pipeline, mask, data = encoded(array, options)
    assert bytes(pipeline.decode(data, mask, array.nbytes)) == array.tobytes()


@EVERY
def test_data_that_cannot_be_compressed_come_back(options):
    array = np.frombuffer(np.random.default_rng(2).bytes(40_000), np.uint32).reshape(100, 100)
    pipeline, mask, data = encoded(array, options)
    assert bytes(pipeline.decode(data, mask, array.nbytes)) == array.tobytes()


@EVERY
@pytest.mark.parametrize("shape", [(1,), (2,), (7,), (9, 1), (1, 8)])
def test_chunks_of_few_elements_come_back(options, shape):
    array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    pipeline, mask, data = encoded(array, options)
    assert bytes(pipeline.decode(data, mask, array.nbytes)) == array.tobytes()


@EVERY
def test_the_encoded_bytes_stay_as_they_are(options):
    array = frames("f4")
    pipeline, mask, data = encoded(array, options)
    chunk = ChunkBuffer(len(data))
    memoryview(chunk)[:] = data
    pipeline.decode(chunk, mask, array.nbytes)
    assert bytes(chunk) == data


@EVERY
@pytest.mark.parametrize("shape", [SHAPE, (1,), (9, 1)])
def test_a_chunk_is_decoded_to_memory_that_is_given_and_not_around_it(options, shape):
    array = frames("f4", shape)
    pipeline, mask, data = encoded(array, options)
    for offset in range(4):
        around = np.full(array.nbytes + 64, 0xA5, np.uint8)
        stop = 32 + offset + array.nbytes
        pipeline.decode_into(around[32 + offset : stop], data, mask)
        assert around[32 + offset : stop].tobytes() == array.tobytes()
        assert (np.delete(around, np.s_[32 + offset : stop]) == 0xA5).all()


@EVERY
@pytest.mark.parametrize("difference", [-1, 1, -SHAPE[0]])
def test_memory_of_another_size_than_the_chunk_is_a_filter_error(options, difference):
    array = frames("f4")
    pipeline, mask, data = encoded(array, options)
    with pytest.raises(FilterError):
        pipeline.decode_into(np.empty(array.nbytes + difference, np.uint8), data, mask)


@pytest.mark.parametrize("place", [bytes(64), np.zeros((8, 16), np.uint8)[:, ::2]])
def test_only_contiguous_memory_that_can_be_written_to_is_filled(place):
    with pytest.raises((BufferError, ValueError)):
        FilterPipeline([]).decode_into(place, bytes(64), 0)


@EVERY
@pytest.mark.parametrize("difference", [-1, 1, -SHAPE[0]])
def test_a_chunk_of_another_size_than_it_must_have_is_a_filter_error(options, difference):
    array = frames("f4")
    pipeline, mask, data = encoded(array, options)
    with pytest.raises(FilterError):
        pipeline.decode(data, mask, array.nbytes + difference)


@pytest.mark.parametrize("name", [name for name in OPTIONS if name not in ("none", "shuffle", "bitshuffle-none")])
def test_a_chunk_without_its_last_byte_is_a_filter_error(name):
    array = frames("f4")
    pipeline, mask, data = encoded(array, OPTIONS[name])
    with pytest.raises(FilterError):
        pipeline.decode(data[:-1], mask, array.nbytes)


@pytest.mark.parametrize("name", OPTIONS)
def test_a_chunk_of_no_bytes_is_a_filter_error(name):
    pipeline, mask, _ = encoded(frames("f4"), OPTIONS[name])
    with pytest.raises(FilterError):
        pipeline.decode(b"", mask, frames("f4").nbytes)


def test_filters_of_the_mask_are_skipped():
    array = frames("u2")
    shuffle, deflate = Filter(SHUFFLE_ID, 0, (2,)), Filter(DEFLATE_ID, 0, (4,))
    pipeline = FilterPipeline([shuffle, deflate])
    shuffled, _ = FilterPipeline([shuffle]).encode(pipeline.decode(array.tobytes(), 0b11, array.nbytes))
    deflated, _ = FilterPipeline([deflate]).encode(pipeline.decode(array.tobytes(), 0b11, array.nbytes))
    assert bytes(pipeline.decode(shuffled, 0b10, array.nbytes)) == array.tobytes()
    assert bytes(pipeline.decode(deflated, 0b01, array.nbytes)) == array.tobytes()


@settings(deadline=None, max_examples=150)
@given(st.integers(1, 17), st.integers(0, 300), st.integers(0, 16), st.integers(0, 100))
def test_unshuffle_undoes_shuffle(itemsize, count, rest, seed):
    data = np.random.default_rng(seed).bytes(itemsize * count + rest % itemsize)
    pipeline = FilterPipeline([Filter(SHUFFLE_ID, 0, (itemsize,))])
    chunk = ChunkBuffer(len(data))
    memoryview(chunk)[:] = data
    shuffled, _ = pipeline.encode(chunk)
    assert bytes(pipeline.decode(shuffled, 0, len(data))) == data


# The checksum.


@pytest.mark.parametrize("nbytes", [1, 2, 3, 719, 720, 721, 722, 100_001])
@pytest.mark.parametrize("byte", [0, 1, 0xFF, None])
def test_the_checksum_is_hdf5s(nbytes, byte):
    array = np.full(nbytes, byte, np.uint8) if byte is not None else frames("u1", nbytes)
    pipeline, mask, data = encoded(array, OPTIONS["fletcher32"])
    assert bytes(pipeline.decode(data, mask, nbytes)) == array.tobytes()


def test_every_changed_bit_is_found_by_the_checksum():
    array = frames("u1", 40)
    pipeline, mask, data = encoded(array, OPTIONS["fletcher32"])
    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(FilterError, match="its checksum"):
            pipeline.decode(changed, mask, array.nbytes)


def test_a_checksum_of_hdf5_before_1_6_3_is_accepted():
    array = frames("u2")
    pipeline, mask, data = encoded(array, OPTIONS["fletcher32"])
    a, b, c, d = data[-4:]
    assert bytes(pipeline.decode(data[:-4] + bytes([b, a, d, c]), mask, array.nbytes)) == array.tobytes()


def test_a_pipeline_has_as_many_filters_as_the_mask_has_bits():
    shuffle = Filter(SHUFFLE_ID, 0, (1,))
    assert bytes(FilterPipeline([shuffle] * 32).decode(b"abc", 0, 3)) == b"abc"
    with pytest.raises(FilterError, match="33 filters"):
        FilterPipeline([shuffle] * 33)


# Bytes that nobody encoded. In a child process, with little memory: a plugin that believes them brings it down.

HOSTILE = """
import random, resource, sys
sys.path.insert(0, {folder!r})
from test_decode import OPTIONS, encoded, frames
from ptychoproduct_native import FilterError

array = frames("f4", (4, 64, 64))
pipeline, mask, good = encoded(array, OPTIONS[{name!r}])
resource.setrlimit(resource.RLIMIT_AS, (4 * 1024**3, 4 * 1024**3))
resource.setrlimit(resource.RLIMIT_CPU, (50, 50))
rng = random.Random(0)
refused = 0
for number in range({count}):
    data = bytearray(good)
    place = rng.randrange(min(len(data), 40))
    match number % 5:
        case 0:
            del data[rng.randrange(len(data)) :]
        case 1:
            data[place] = rng.randrange(256)
        case 2:
            for _ in range(rng.randrange(1, 6)):
                data[rng.randrange(len(data))] = rng.choice((0, 255, rng.randrange(256)))
        case 3:
            data = bytearray(rng.randbytes(rng.randrange(200)))
        case 4:  # sizes
            data[place : place + 4] = rng.choice((0, 2**31 - 1, 2**32 - 1)).to_bytes(4, rng.choice(("big", "little")))
    try:
        assert len(pipeline.decode(data, mask, array.nbytes)) == array.nbytes
    except FilterError:
        refused += 1
print("refused", refused > 0)
"""


@pytest.mark.parametrize("name", [name for name in OPTIONS if name not in ("none", "shuffle")])
def test_hostile_bytes_are_refused_and_harm_nothing(name):
    program = HOSTILE.format(folder=str(Path(__file__).parent), name=name, count=400)
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=100)
    assert (result.returncode, result.stdout.split("\n")[-2:]) == (0, ["refused True", ""]), result.stderr


@pytest.mark.parametrize("name", ["gzip-9", "bzip2", "zstd", "bitshuffle-zstd", "lz4", "blosc", "blosc2"])
def test_a_chunk_that_decodes_to_far_more_than_its_size_is_refused(name):
    large = np.zeros(30_000_000, np.uint8)
    pipeline, mask, data = encoded(large, OPTIONS[name])
    with pytest.raises(FilterError):
        pipeline.decode(data, mask, 1000)


BOMB = """
import resource, struct, sys
sys.path.insert(0, {folder!r})
from test_decode import *
pipeline, mask, data = encoded(np.zeros(1000, np.uint8), OPTIONS["blosc2"])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for places in ((30, 58), (30,), (58,), (53,)):
    bomb = bytearray(data)
    for place in places:
        form = ">q" if place == 30 else ">i"
        struct.pack_into(form, bomb, place, 1 << 29)
    try:
        pipeline.decode(bytes(bomb), mask, 1000)
        print("decoded", places)
    except FilterError:
        pass
print("grown by less than 50 MB:", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs the memory that a process took at most")
def test_a_chunk_of_blosc2_that_is_filled_up_to_whole_blocks_is_decoded():
    """HDF5's plugin tells Blosc 2 the shape of chunks, each axis of which is filled up."""
    data = np.random.default_rng(1).poisson(3, (40, 32, 32)).astype(np.float32)
    pipeline, mask, encoded_bytes = encoded(data, dict(hdf5plugin.Blosc2(cname="zstd", clevel=3)))
    assert bytes(pipeline.decode(encoded_bytes, mask, data.nbytes)) == data.tobytes()


def test_a_frame_of_blosc2_that_claims_a_large_size_takes_no_memory():
    program = BOMB.format(folder=str(Path(__file__).parent))
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=100)
    assert result.stdout == "grown by less than 50 MB: True\n", result.stderr


def test_a_size_that_no_memory_has_is_refused():
    with pytest.raises((MemoryError, OverflowError)):
        FilterPipeline([Filter(SHUFFLE_ID, 0, (4,))]).decode(b"abc", 0, 2**63 - 1)


@pytest.mark.parametrize("data", [None, "text", 3, np.zeros((4, 4))[:, ::2]])
def test_only_contiguous_buffers_can_be_decoded(data):
    with pytest.raises((TypeError, ValueError, BufferError)):
        FilterPipeline([]).decode(data, 0, 4)


def test_a_buffer_that_is_used_up_is_empty_afterwards():
    chunk = ChunkBuffer(8)
    memoryview(chunk)[:] = b"original"
    decoded = FilterPipeline([]).decode(chunk, 0, 8, use_up=True)
    assert (bytes(decoded), len(chunk)) == (b"original", 0)


def test_a_buffer_with_views_is_not_used_up():
    chunk = ChunkBuffer(8)
    with memoryview(chunk), pytest.raises(BufferError, match="memoryviews"):
        FilterPipeline([]).decode(chunk, 0, 8, use_up=True)


def test_only_a_chunk_buffer_can_be_used_up():
    with pytest.raises(TypeError):
        FilterPipeline([]).decode(b"original", 0, 8, use_up=True)
