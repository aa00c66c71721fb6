"""Filter 4, szip: the bytes of HDF5 in both directions, and bytes that nobody encoded."""

import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pytest

from ptychoproduct_native import SZIP_ID, ChunkBuffer, Filter, FilterError, FilterPipeline, has_szip

LIBRARY = h5py.h5z.__file__
pytestmark = pytest.mark.skipif(
    not (has_szip(LIBRARY) and h5py.h5z.filter_avail(SZIP_ID)), reason="this h5py has no szip"
)
TYPES = ("?", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8", ">u2", ">i4", ">f4", ">f8")
# Lines that are whole blocks and such that are not; of one block, and of more than szip has in one; tails of all kinds.
SHAPES = [(2, 20, 33), (1, 5, 16), (3, 7, 32), (2, 40, 64), (1, 1, 5000), (130, 2, 3), (77,), (64, 1), (1, 3, 4100)]
OPTIONS = [("ec", 32), ("nn", 32), ("ec", 2), ("nn", 16), ("ec", 10), ("nn", 30)]
PARAMETERS = (141, 32, 16, 64)  # entropy coding, blocks of 32, 16 bits, lines of 64


def arrays(dtype, shape):
    """Give content of all kinds: counts, roots, zeros, and bytes that cannot be made smaller."""
    rng, dtype = np.random.default_rng(1), np.dtype(dtype)
    counts = rng.poisson(1, shape)
    yield from (counts.astype(dtype), np.sqrt(counts).astype(dtype), np.zeros(shape, dtype))
    if dtype.kind != "b":
        yield np.frombuffer(rng.bytes(counts.size * dtype.itemsize), dtype).reshape(shape)


def by_hdf5(array, option, **others):
    """Let HDF5 encode an array as one chunk; return its filters, the mask and the bytes."""
    with h5py.File.in_memory() as file:
        options = {"compression": "szip", "compression_opts": option, **others}
        dataset = file.create_dataset("a", data=array, chunks=array.shape, **options)
        file.flush()
        properties = dataset.id.get_create_plist()
        stages = [properties.get_filter(i)[:3] for i in range(properties.get_nfilters())]
        mask, data = dataset.id.read_direct_chunk((0,) * array.ndim)
    return FilterPipeline([Filter(*stage, LIBRARY if stage[0] == SZIP_ID else None) for stage in stages]), mask, data


def chunk_of(data):
    chunk = ChunkBuffer(len(data))
    memoryview(chunk)[:] = data
    return chunk


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: "-".join(map(str, option)))
def test_a_chunk_has_the_bytes_of_hdf5_and_comes_back(dtype, option):
    for shape in SHAPES:
        for array in arrays(dtype, shape):
            pipeline, mask, data = by_hdf5(array, option)
            encoded, our_mask = pipeline.encode(chunk_of(array.tobytes()))
            assert (bytes(encoded), our_mask) == (data, mask)
            assert bytes(pipeline.decode(data, mask, array.nbytes)) == array.tobytes()


def test_a_checksum_may_stand_behind_it():
    array = np.random.default_rng(1).poisson(1, (3, 40, 50)).astype("u2")
    pipeline, mask, data = by_hdf5(array, ("ec", 32), fletcher32=True)
    assert bytes(pipeline.encode(chunk_of(array.tobytes()))[0]) == data
    damaged = bytearray(data)
    damaged[len(data) // 2] ^= 1
    with pytest.raises(FilterError, match="checksum"):
        pipeline.decode(bytes(damaged), mask, array.nbytes)


@pytest.mark.parametrize(
    "values",
    [
        (),
        (141, 32),
        (141, 0, 16, 64),
        (141, 3, 16, 64),
        (141, 34, 16, 64),
        (141, 32, 16, 0),
        (141, 32, 16, 31),
        (141, 2, 16, 257),
        (141, 32, 0, 64),
        (141, 32, 25, 64),
        (141, 32, 65, 64),
        (141, 32, 2**32 - 1, 64),
        (141, 32, 16, 2**32 - 1),
        (*PARAMETERS, 1),
    ],
)
def test_parameters_that_hdf5_never_stores_are_a_filter_error(values):
    with pytest.raises(FilterError, match="filter 4 cannot have the parameters"):
        Filter(SZIP_ID, 0, values, LIBRARY)


@pytest.mark.parametrize("library", [sys.modules["ptychoproduct_native.gather"].__file__, "no such library"])
def test_a_library_without_szip_is_a_filter_error(library):
    assert not has_szip(library)
    with pytest.raises(FilterError, match="has no szip"):
        Filter(SZIP_ID, 0, PARAMETERS, library)


@pytest.mark.parametrize("line", [64, 50])
@pytest.mark.parametrize("bits", [16, 32])
def test_a_chunk_that_is_cut_off_is_a_filter_error(line, bits):
    """HDF5 itself returns what was in memory, where lines are filled up."""
    pipeline = FilterPipeline([Filter(SZIP_ID, 0, (141, 32, bits, line), LIBRARY)])
    counts = np.random.default_rng(1).poisson(3, 100 * line).astype(f"u{bits // 8}")
    data = bytes(pipeline.encode(chunk_of(counts.tobytes()))[0])
    assert bytes(pipeline.decode(data, 0, counts.nbytes)) == counts.tobytes()
    for length in (0, 3, 4, 5, 100, len(data) // 2, len(data) - 1):
        with pytest.raises(FilterError):
            pipeline.decode(data[:length], 0, counts.nbytes)


@pytest.mark.parametrize("size", [0, 1, 4095, 4097, 4098, 2**31, 2**32 - 1])
def test_a_size_that_the_chunk_does_not_have_is_refused_before_memory_is_taken(size):
    pipeline = FilterPipeline([Filter(SZIP_ID, 0, PARAMETERS, LIBRARY)])
    data = bytes(pipeline.encode(chunk_of(bytes(4096)))[0])
    resource = pytest.importorskip("resource")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(FilterError):
        pipeline.decode(struct.pack("<I", size) + data[4:], 0, 4096)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


HOSTILE = """
import sys
sys.path.insert(0, {folder!r})
import itertools
from test_szip import *
rng, seeds = np.random.default_rng(1), []
for (option, block), bits, line, rate in itertools.product(
    ((141, 32), (169, 32), (169, 2), (177, 16)), (5, 8, 16, 20, 32, 64), (33, 64, 256), (0.05, 500)
):
    pipeline = FilterPipeline([Filter(SZIP_ID, 1, (option, block, bits, max(line, block)), LIBRARY)])
    dtype = "u1" if bits <= 8 else "u2" if bits <= 16 else "u4" if bits <= 32 else "u8"
    counts = (rng.poisson(rate, 3000) % 2 ** min(bits, 30)).astype(dtype)
    data, mask = pipeline.encode(chunk_of(counts.tobytes()))
    if not mask:
        seeds.append((pipeline, bytes(data), counts.nbytes))
for number in range({count}):
    pipeline, data, nbytes = seeds[number % len(seeds)]
    data, kind = bytearray(data), number // len(seeds) % 5
    places = rng.integers(0, len(data), rng.integers(1, 9))
    if kind < 2:
        for place in places:
            data[place] ^= rng.integers(256)
    elif kind == 2:
        del data[places[0] :]
    elif kind == 3:
        data[4:] = rng.bytes(len(data)) if number % 2 else bytes(5000)
    else:
        data[places[0] : places[0] + 9] = rng.bytes(int(rng.integers(30)))
    try:
        assert len(pipeline.decode(bytes(data), 0, nbytes)) == nbytes
    except FilterError:
        pass
print("unharmed")
"""


def test_hostile_bytes_harm_nothing():
    program = HOSTILE.format(folder=str(Path(__file__).parent), count=6000)
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=100)
    assert (result.returncode, result.stdout) == (0, "unharmed\n"), result.stderr


def test_many_threads_on_one_pipeline_give_the_bytes_that_one_gives():
    pipeline = FilterPipeline([Filter(SZIP_ID, 0, (169, 32, 32, 50), LIBRARY)])
    blocks = [np.random.default_rng(i).poisson(2, 20_000).astype("u4").tobytes() for i in range(32)]
    alone = [bytes(pipeline.encode(chunk_of(block))[0]) for block in blocks]
    with ThreadPoolExecutor(8) as pool:
        assert [bytes(data) for data, _ in pool.map(pipeline.encode, map(chunk_of, blocks))] == alone
        assert [bytes(block) for block in pool.map(lambda d: pipeline.decode(d, 0, 80_000), alone)] == blocks
