"""FilterPipeline: what it encodes, h5py with hdf5plugin decodes."""

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import h5py
import hdf5plugin
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptychoproduct_native import DEFLATE_ID, FLETCHER32_ID, SHUFFLE_ID, ChunkBuffer, Filter, FilterError, FilterPipeline

LIBRARIES = hdf5plugin.get_config().registered_filters
BITSHUFFLE, ZSTD = LIBRARIES["bshuf"], LIBRARIES["zstd"]
BITSHUFFLE_ID, ZSTD_ID = 32008, 32015
PLUGINS = {
    307: LIBRARIES["bzip2"],
    32004: LIBRARIES["lz4"],
    BITSHUFFLE_ID: BITSHUFFLE,
    ZSTD_ID: ZSTD,
    32026: LIBRARIES["blosc2"],
}
OPTIONAL = 1

OPTIONS = {
    "none": {},
    "shuffle": {"shuffle": True},
    "gzip-0": {"compression": "gzip", "compression_opts": 0},
    "gzip-4": {"compression": "gzip", "compression_opts": 4},
    "gzip-9": {"compression": "gzip", "compression_opts": 9},
    "shuffle-gzip": {"compression": "gzip", "shuffle": True},
    "zstd-1": dict(hdf5plugin.Zstd(clevel=1)),
    "zstd-19": dict(hdf5plugin.Zstd(clevel=19)),
    "shuffle-zstd": {"shuffle": True, **hdf5plugin.Zstd(clevel=3)},
    "bitshuffle-none": dict(hdf5plugin.Bitshuffle(cname="none")),
    "bitshuffle-lz4": dict(hdf5plugin.Bitshuffle(cname="lz4")),
    "bitshuffle-lz4-block": dict(hdf5plugin.Bitshuffle(nelems=64, cname="lz4")),
    "bitshuffle-zstd": dict(hdf5plugin.Bitshuffle(nelems=4096, cname="zstd", clevel=3)),
    "lz4": dict(hdf5plugin.LZ4()),
    "lz4-block": dict(hdf5plugin.LZ4(nbytes=512)),
    "bzip2": dict(hdf5plugin.BZip2()),
    "blosc2-lz4": dict(hdf5plugin.Blosc2(cname="lz4", filters=hdf5plugin.Blosc2.NOFILTER)),
    "blosc2-zstd-bitshuffle": dict(hdf5plugin.Blosc2(cname="zstd", filters=hdf5plugin.Blosc2.BITSHUFFLE)),
    "fletcher32": {"fletcher32": True},
    "shuffle-gzip-fletcher32": {"compression": "gzip", "shuffle": True, "fletcher32": True},
    "bitshuffle-zstd-fletcher32": {"fletcher32": True, **hdf5plugin.Bitshuffle(cname="zstd")},
}
# isal's streams, at levels where zlib's differ.
ISAL_OPTIONS = {f"gzip-{level}": {"compression": "gzip", "compression_opts": level} for level in (1, 2, 3)}


def chunk_of(data):
    chunk = ChunkBuffer(len(data))
    memoryview(chunk)[:] = data
    return chunk


def pipeline_of(properties):
    filters = [properties.get_filter(i) for i in range(properties.get_nfilters())]
    return FilterPipeline([Filter(code, flags, values, PLUGINS.get(code)) for code, flags, values, _ in filters])


def memory_file():
    return h5py.File.in_memory()


def decoded(array, properties_of_dataset):
    """Encode an array as the one chunk of a dataset, and let h5py read it."""
    with memory_file() as file:
        dataset = file.create_dataset("a", array.shape, array.dtype, chunks=array.shape, **properties_of_dataset)
        data, mask = pipeline_of(dataset.id.get_create_plist()).encode(chunk_of(array.tobytes()))
        dataset.id.write_direct_chunk((0,) * array.ndim, data, mask)
        return dataset[()]


def frames(dtype, shape=(3, 17, 19)):
    counts = np.random.default_rng(1).poisson(3, shape)
    return (np.sqrt(counts) if np.dtype(dtype).kind == "f" else counts).astype(dtype)


@pytest.mark.parametrize("options", (OPTIONS | ISAL_OPTIONS).values(), ids=OPTIONS | ISAL_OPTIONS)
@pytest.mark.parametrize("dtype", ["u1", "i2", "u4", "f4", "f8"])
def test_h5py_decodes_what_a_pipeline_encodes(options, dtype):
    array = frames(dtype)
    assert decoded(array, options).tobytes() == array.tobytes()


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_data_that_cannot_be_compressed_come_back(options):
    array = np.frombuffer(np.random.default_rng(2).bytes(40_000), np.uint32).reshape(100, 100)
    assert decoded(array, options).tobytes() == array.tobytes()


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("shape", [(1,), (2,), (7,), (9, 1), (1, 8)])
def test_chunks_of_few_elements_come_back(options, shape):
    array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    assert decoded(array, options).tobytes() == array.tobytes()


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_chunk_that_hdf5_encodes_has_the_same_bytes(options):
    array = frames("f4")
    with memory_file() as file:
        dataset = file.create_dataset("a", data=array, chunks=array.shape, **options)
        file.flush()
        expected = dataset.id.read_direct_chunk((0, 0, 0))
        data, mask = pipeline_of(dataset.id.get_create_plist()).encode(chunk_of(array.tobytes()))
    assert (mask, bytes(data)) == expected


@pytest.mark.parametrize("nbytes", [1, 2, 3, 719, 720, 721, 722, 100_001])
@pytest.mark.parametrize("byte", [0, 1, 0xFF])
def test_the_checksum_is_hdf5s(nbytes, byte):
    array = np.full(nbytes, byte, np.uint8)
    assert decoded(array, OPTIONS["fletcher32"]).tobytes() == array.tobytes()


@pytest.mark.parametrize("options", ISAL_OPTIONS.values(), ids=ISAL_OPTIONS)
def test_the_lowest_levels_of_gzip_take_about_the_space_that_hdf5s_take(options):
    array = frames("f4", (4, 128, 128))
    with memory_file() as file:
        dataset = file.create_dataset("a", data=array, chunks=array.shape, shuffle=True, **options)
        file.flush()
        data, _ = pipeline_of(dataset.id.get_create_plist()).encode(chunk_of(array.tobytes()))
        assert len(data) < 1.15 * dataset.id.get_storage_size()


@settings(deadline=None, max_examples=150)
@given(st.integers(1, 17), st.integers(0, 300), st.integers(0, 100))
def test_shuffle_puts_equal_bytes_of_all_elements_together(itemsize, count, seed):
    data = np.frombuffer(np.random.default_rng(seed).bytes(itemsize * count), np.uint8)
    shuffled, _ = FilterPipeline([Filter(SHUFFLE_ID, 0, (itemsize,))]).encode(chunk_of(data))
    assert bytes(shuffled) == data.reshape(count, itemsize).T.tobytes()


@pytest.mark.parametrize("itemsize", [2, 4, 8])
@pytest.mark.parametrize("count", [4095, 4096, 4097, 12345])
def test_shuffle_around_its_block_size_is_hdf5s(itemsize, count):
    array = np.frombuffer(np.random.default_rng(0).bytes(count * itemsize), f"u{itemsize}")
    assert decoded(array, OPTIONS["shuffle"]).tobytes() == array.tobytes()


@pytest.mark.parametrize("length", [9, 10, 11])
def test_shuffle_leaves_the_bytes_behind_the_last_element_in_place(length):
    data = bytes(range(length))
    shuffled, _ = FilterPipeline([Filter(SHUFFLE_ID, 0, (4,))]).encode(chunk_of(data))
    assert bytes(shuffled) == bytes([0, 4, 1, 5, 2, 6, 3, 7]) + data[8:]


@pytest.mark.parametrize("itemsize", [100, 2**31, 2**32 - 1])
def test_shuffle_of_elements_larger_than_the_chunk_changes_nothing(itemsize):
    shuffled, _ = FilterPipeline([Filter(SHUFFLE_ID, 0, (itemsize,))]).encode(chunk_of(b"abcdef"))
    assert bytes(shuffled) == b"abcdef"


def test_a_pipeline_without_filters_returns_the_chunk_as_it_is():
    chunk = chunk_of(b"abc")
    data, mask = FilterPipeline([]).encode(chunk)
    assert data is chunk
    assert (bytes(data), mask) == (b"abc", 0)


def test_deflate_may_stand_before_another_filter():
    array = frames("u2")
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk(array.shape)
    properties.set_deflate(6)
    properties.set_filter(ZSTD_ID, h5py.h5z.FLAG_MANDATORY, (3,))
    with memory_file() as file:
        space = h5py.h5s.create_simple(array.shape)
        dataset = h5py.h5d.create(file.id, b"a", h5py.h5t.NATIVE_UINT16, space, properties)
        data, mask = pipeline_of(dataset.get_create_plist()).encode(chunk_of(array.tobytes()))
        dataset.write_direct_chunk((0, 0, 0), data, mask)
        assert file["a"][()].tobytes() == array.tobytes()


def test_many_threads_on_one_pipeline_give_the_bytes_that_one_gives():
    rng = np.random.default_rng(3)
    blocks = [np.sqrt(rng.poisson(2, 20_000)).astype(np.float32).tobytes() for _ in range(48)]
    with memory_file() as file:
        dataset = file.create_dataset("a", (20_000,), "f4", chunks=(20_000,), **OPTIONS["bitshuffle-zstd"])
        pipeline = pipeline_of(dataset.id.get_create_plist())

    def encode(block):
        data, mask = pipeline.encode(chunk_of(block))
        return bytes(data), mask

    alone = [encode(block) for block in blocks]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(encode, blocks)) == alone


@pytest.mark.parametrize("name", ["shuffle-zstd", "shuffle-gzip", "bitshuffle-lz4"])
def test_a_chunk_that_was_encoded_can_be_encoded_again(name):
    # The memory has been replaced and shrunk by the first round.
    array = frames("f4")
    with memory_file() as file:
        dataset = file.create_dataset("a", array.shape, "f4", chunks=array.shape, **OPTIONS[name])
        pipeline = pipeline_of(dataset.id.get_create_plist())
    once, _ = pipeline.encode(chunk_of(array.tobytes()))
    expected, _ = pipeline.encode(chunk_of(bytes(once)))
    again, _ = pipeline.encode(chunk_of(bytes(once)) if isinstance(once, bytes) else once)
    assert bytes(again) == bytes(expected)


@pytest.mark.parametrize("values", [(), (0,), (0, 0), (0, 0, 4, 7), (0, 0, 4, 12), (0, 0, 2**31)])
def test_bitshuffle_with_parameters_that_mean_nothing_is_a_filter_error(values):
    with pytest.raises(FilterError, match="32008"):
        FilterPipeline([Filter(BITSHUFFLE_ID, 0, values, BITSHUFFLE)]).encode(chunk_of(bytes(1000)))


def test_a_filter_that_fails_leaves_the_chunk_as_it_was():
    chunk = chunk_of(b"abcd" * 100)
    with pytest.raises(FilterError):
        FilterPipeline([Filter(BITSHUFFLE_ID, 0, (0, 0, 4, 7), BITSHUFFLE)]).encode(chunk)
    assert bytes(chunk) == b"abcd" * 100


def test_an_optional_filter_that_fails_is_skipped_and_recorded():
    failing = Filter(BITSHUFFLE_ID, OPTIONAL, (0, 0, 4, 7), BITSHUFFLE)
    data, mask = FilterPipeline([Filter(SHUFFLE_ID, 0, (2,)), failing]).encode(chunk_of(b"abab"))
    assert (bytes(data), mask) == (b"aabb", 0b10)


def test_h5py_reads_a_chunk_whose_optional_filter_was_skipped(tmp_path):
    # Read from the closed file: HDF5 2.0 forgets the mask in its cache of the last chunk.
    array = frames("u2")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        dataset = file.create_dataset("a", array.shape, array.dtype, chunks=array.shape, **OPTIONS["bitshuffle-lz4"])
        failing = Filter(BITSHUFFLE_ID, OPTIONAL, (0, 0, 2, 7), BITSHUFFLE)
        data, mask = FilterPipeline([failing]).encode(chunk_of(array.tobytes()))
        dataset.id.write_direct_chunk((0, 0, 0), data, mask)
    with h5py.File(tmp_path / "a.h5") as file:
        assert (mask, file["a"][()].tobytes()) == (1, array.tobytes())


@pytest.mark.parametrize("level", [10, 42, 2**31, 2**32 - 1])
def test_deflate_levels_that_do_not_exist_are_filter_errors(level):
    with pytest.raises(FilterError):
        FilterPipeline([Filter(DEFLATE_ID, 0, (level,))]).encode(chunk_of(b"abc"))


@pytest.mark.parametrize(("code", "values"), [(SHUFFLE_ID, ()), (SHUFFLE_ID, (0,)), (DEFLATE_ID, ())])
def test_built_in_filters_need_their_parameter(code, values):
    with pytest.raises(FilterError, match=f"filter {code} cannot have the parameters"):
        Filter(code, 0, values)


def test_a_bitshuffle_filter_of_elements_of_no_bytes_is_a_filter_error():
    # In a child process: the plugin divides by the size of an element.
    program = f"""
from ptychoproduct_native import ChunkBuffer, Filter, FilterError, FilterPipeline
try:
    FilterPipeline([Filter({BITSHUFFLE_ID}, 0, (0, 0, 0), {BITSHUFFLE!r})]).encode(ChunkBuffer(1000))
except FilterError:
    print("refused")
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout.strip()) == (0, "refused")


def test_a_filter_without_a_library_is_a_filter_error():
    with pytest.raises(FilterError, match="no library is known for filter 12345"):
        Filter(12345, 0, ())


@pytest.mark.parametrize(("code", "library"), [(BITSHUFFLE_ID, ZSTD), (ZSTD_ID, BITSHUFFLE), (307, ZSTD)])
def test_a_library_of_another_filter_is_a_filter_error(code, library):
    with pytest.raises(FilterError, match=f"not filter {code}"):
        Filter(code, 0, (0, 0, 4), library)


def test_a_library_that_does_not_exist_is_a_filter_error(tmp_path):
    with pytest.raises(FilterError):
        Filter(ZSTD_ID, 0, (3,), str(tmp_path / "missing.so"))


def test_a_file_that_is_no_library_is_a_filter_error(tmp_path):
    path = tmp_path / "text.so"
    path.write_text("no library")
    with pytest.raises(FilterError):
        Filter(ZSTD_ID, 0, (3,), str(path))


def test_a_library_that_is_no_plugin_is_a_filter_error():
    some_extension = sys.modules["ptychoproduct_native.gather"].__file__
    with pytest.raises(FilterError):
        Filter(ZSTD_ID, 0, (3,), some_extension)


def test_more_parameters_than_fit_are_a_filter_error():
    with pytest.raises(FilterError, match="33 parameters"):
        Filter(ZSTD_ID, 0, (1,) * 33, ZSTD)


@pytest.mark.parametrize("values", [(-1,), (2**32,)])
def test_parameters_that_are_no_unsigned_integers_are_refused(values):
    with pytest.raises((OverflowError, FilterError)):
        Filter(ZSTD_ID, 0, values, ZSTD)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 2**32 - 1), max_size=32))
def test_zstd_with_any_parameters_is_decoded_or_is_a_filter_error(values):
    array = frames("u2", (5, 6, 7))
    try:
        data, mask = FilterPipeline([Filter(ZSTD_ID, 0, values, ZSTD)]).encode(chunk_of(array.tobytes()))
    except FilterError:
        return
    with memory_file() as file:
        dataset = file.create_dataset("a", array.shape, array.dtype, chunks=array.shape, **OPTIONS["zstd-1"])
        dataset.id.write_direct_chunk((0, 0, 0), data, mask)
        assert dataset[()].tobytes() == array.tobytes()


@pytest.mark.parametrize("stage", [None, 3, "shuffle", (2, 0, (4,))])
def test_a_pipeline_of_anything_but_filters_is_a_type_error(stage):
    with pytest.raises(TypeError, match="made of Filter"):
        FilterPipeline([stage])


@pytest.mark.parametrize("chunk", [None, b"abc", bytearray(3)])
def test_only_chunk_buffers_can_be_encoded(chunk):
    with pytest.raises(TypeError):
        FilterPipeline([]).encode(chunk)


@pytest.mark.parametrize(
    "make", [bytes, lambda n: b"\xff" * n, np.random.default_rng(3).bytes], ids=["0", "255", "any"]
)
def test_the_checksum_is_that_of_hdf5_for_every_length(make):
    pipeline = FilterPipeline([Filter(3, 0, ())])
    for nbytes in (*range(1, 140), 5759, 5760, 5761, 5775, *range(23_030, 23_110), 46_143, 100_001, 300_000):
        data = make(nbytes)
        chunk = ChunkBuffer(nbytes)
        memoryview(chunk)[:] = data
        encoded, _ = pipeline.encode(chunk)
        with h5py.File.in_memory() as file:
            stored = file.create_dataset("a", data=np.frombuffer(data, "u1"), chunks=(nbytes,), fletcher32=True)
            file.flush()
            assert bytes(encoded) == stored.id.read_direct_chunk((0,))[1]


FORGETFUL = """
#include <stdlib.h>

/* As zstd's plugin does without memory: the input is gone, and zstd's error code is returned as a size. */
static size_t run(unsigned flags, size_t n, const unsigned *values, size_t nbytes, size_t *size, void **data)
{
    (void)flags, (void)n, (void)values, (void)nbytes;
    free(*data);
    *data = malloc(16);
    *size = 16;
    return (size_t)-64;
}

static const struct {
    int version, id;
    unsigned encoder, decoder;
    const char *name;
    void *can_apply, *set_local;
    size_t (*filter)(unsigned, size_t, const unsigned *, size_t, size_t *, void **);
} plugin = {1, 300, 1, 1, "forgetful", 0, 0, run};

const void *H5PLget_plugin_info(void) { return &plugin; }
"""


@pytest.mark.skipif(sys.platform == "win32" or shutil.which("cc") is None, reason="needs a C compiler")
def test_an_error_code_that_is_returned_as_a_size_is_no_size(tmp_path):
    (tmp_path / "plugin.c").write_text(FORGETFUL)
    library = tmp_path / "plugin.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, tmp_path / "plugin.c"], check=True)
    forgetful = Filter(300, OPTIONAL, (), str(library))
    with pytest.raises(MemoryError):
        FilterPipeline([forgetful, Filter(FLETCHER32_ID, 0, ())]).encode(chunk_of(bytes(1000)))
    with pytest.raises(FilterError):
        FilterPipeline([forgetful]).decode(bytes(1000), 0, 1000)
