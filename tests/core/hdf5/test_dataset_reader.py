"""DatasetReader: every pipeline and index expression, with h5py as the judge."""

import itertools
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import h5py
import hdf5plugin
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ptychoproduct.errors import ContractError
from ptychoproduct.hdf5.dataset_reader import DatasetReader

QUIET = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture]}
SHAPE = (23, 9, 11)
# Pipelines that are run here, and those that are left to HDF5.
DIRECT = {
    "none": {},
    "shuffle": {"shuffle": True},
    "fletcher32": {"fletcher32": True},
    "gzip": {"compression": "gzip"},
    "shuffle-gzip": {"compression": "gzip", "shuffle": True},
    "shuffle-gzip-fletcher32": {"compression": "gzip", "shuffle": True, "fletcher32": True},
    "zstd": dict(hdf5plugin.Zstd(clevel=1)),
    "shuffle-zstd": {"shuffle": True, **hdf5plugin.Zstd(clevel=1)},
    "bitshuffle-none": dict(hdf5plugin.Bitshuffle(cname="none")),
    "bitshuffle-lz4": dict(hdf5plugin.Bitshuffle(cname="lz4")),
    "bitshuffle-zstd": dict(hdf5plugin.Bitshuffle(nelems=4096, cname="zstd", clevel=1)),
    "lz4": dict(hdf5plugin.LZ4()),
    "blosc": dict(hdf5plugin.Blosc()),
    "blosc2": dict(hdf5plugin.Blosc2()),
    "bzip2": dict(hdf5plugin.BZip2()),
    **({"szip": {"compression": "szip"}} if h5py.h5z.filter_avail(h5py.h5z.FILTER_SZIP) else {}),
}
BY_HDF5 = {
    "lzf": {"compression": "lzf"},
    "scaleoffset": {"scaleoffset": 0},
    "contiguous": {"chunks": None},
}
OPTIONS = DIRECT | BY_HDF5
CHUNKS = {"frames": (4, 9, 11), "tiles": (5, 4, 3), "one": SHAPE, "rows": (1, 9, 11)}


def blocks_of(dataset):
    """Give a dataset in blocks, as a reader does of its own choice."""
    with closing(DatasetReader(dataset)) as reader:
        return [future.result() for _, future in reader.blocks(lambda _, block: block)]


def counts(shape=SHAPE, dtype="u2", seed=1):
    return np.random.default_rng(seed).poisson(3, shape).astype(dtype)


@pytest.fixture
def stored(tmp_path):
    """A function that stores an array in a file, and opens the dataset for reading."""
    files = []

    def store(array, **options):
        path = tmp_path / f"{len(files)}.h5"
        with h5py.File(path, "w") as file:
            file.create_dataset("group/frames", data=array, **options)
        files.append(h5py.File(path))
        return files[-1]["group/frames"]

    yield store
    for file in files:
        file.close()


@pytest.fixture(params=[1, 3], ids=["1-thread", "3-threads"])
def threads(request):
    return request.param


def rows_of(reader):
    return [(rows, future.result()) for rows, future in reader.blocks(lambda first, block: (first, block))]


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("chunks", CHUNKS)
def test_every_pipeline_is_read(stored, threads, name, chunks):
    array = counts()
    dataset = stored(array, **{"chunks": CHUNKS[chunks]} | OPTIONS[name])
    with closing(DatasetReader(dataset, threads)) as reader:
        numbers = np.random.default_rng(0).permutation(len(array))[:9]
        assert np.array_equal(reader.read(...), array)
        assert np.array_equal(reader.read(7), array[7])
        assert np.array_equal(reader.read(numbers), array[numbers])
        assert np.array_equal(reader.read(np.s_[3:20:4, 2:, ::-3]), array[3:20:4, 2:, ::-3])
        assert np.array_equal(np.concatenate([block for _, (_, block) in rows_of(reader)]), array)


@pytest.mark.parametrize("dtype", ["?", "u1", "i8", "f2", "f4", "f8", "c8", "c16", ">u2", ">f4", ">c8"])
@pytest.mark.parametrize("name", ["none", "shuffle-gzip", "bitshuffle-lz4", "contiguous"])
def test_every_type_of_number_is_read(stored, dtype, name):
    array = counts(dtype=dtype)
    dataset = stored(array, **{"chunks": (4, 9, 11)} | OPTIONS[name])
    found = DatasetReader(dataset).read(np.s_[2:])
    assert (found.dtype, found.tobytes()) == (dataset[2:].dtype, array[2:].tobytes())


@pytest.mark.parametrize("options", [hdf5plugin.Zfp(reversible=True), hdf5plugin.Sperr(), hdf5plugin.SZ3(absolute=0.5)])
def test_codecs_for_real_numbers_are_read_as_hdf5_reads_them(stored, options):
    dataset = stored(counts((8, 40, 40), "f4"), chunks=(4, 40, 40), **options)
    assert np.array_equal(DatasetReader(dataset).read([5, 0]), dataset[()][[5, 0]])


def test_text_and_records_are_read(stored):
    records = np.array([(1, 2.0), (3, 4.0), (5, 6.0)], [("a", "u1"), ("b", "f8")])
    texts = np.array([b"one", b"two", b"three"])
    for array in (records, texts):
        dataset = stored(array, chunks=(2,))
        assert np.array_equal(DatasetReader(dataset).read([2, 0]), array[[2, 0]])
        assert np.array_equal(np.concatenate(list(blocks_of(dataset))), array)


@pytest.mark.parametrize("name", ["none", "bitshuffle-zstd", "lzf", "contiguous"])
@settings(max_examples=60, **QUIET)
@given(data=st.data())
def test_any_index_expression_gives_what_numpy_gives(stored, name, data):
    shape = tuple(data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=3)))
    chunks = tuple(data.draw(st.integers(1, length)) for length in shape)
    array = counts(shape)
    edges = st.none() | st.integers(-10, 10)
    cut = st.builds(slice, edges, edges, st.sampled_from([None, 1, 2, 5, -1, -3]))
    others = [data.draw(cut | st.integers(-n, n - 1)) for n in shape[1 : data.draw(st.integers(1, len(shape)))]]
    numbers = st.integers(-shape[0], shape[0] - 1)
    masks = st.lists(st.booleans(), min_size=shape[0], max_size=shape[0]).map(np.array)
    first = data.draw(cut | numbers | st.lists(numbers, min_size=1) | masks)
    dataset = stored(array, **{"chunks": chunks} | OPTIONS[name])
    with closing(DatasetReader(dataset, 2)) as reader:
        index = (first, *others)
        assert np.array_equal(reader.read(index), array[index])
        out = np.zeros_like(array[index])
        reader.read_into(out, index)
        assert np.array_equal(out, array[index])


@pytest.mark.parametrize("name", ["none", "lzf", "contiguous"])
@pytest.mark.parametrize("index", [23, -24, (0, 9), [0, 23], [-24], np.ones(22, bool), (0, 0, 0, 0)], ids=str)
def test_what_lies_outside_is_an_index_error(stored, name, index):
    dataset = stored(counts(), **{"chunks": (4, 9, 11)} | OPTIONS[name])
    with pytest.raises(IndexError):
        DatasetReader(dataset).read(index)


def test_what_only_h5py_understands_is_left_to_it(stored):
    array = counts()
    dataset = stored(array, chunks=(4, 9, 11))
    mask = array > 3
    assert np.array_equal(DatasetReader(dataset).read(mask), array[mask])
    assert np.array_equal(DatasetReader(dataset).read(np.s_[:, [1, 4]]), array[:, [1, 4]])
    with pytest.raises(TypeError, match="into an array"):
        DatasetReader(dataset).read_into(np.empty(3), mask)


def test_one_element_is_a_scalar(stored):
    array = counts()
    found = DatasetReader(stored(array, chunks=(4, 4, 4))).read((5, -1, 2))
    assert isinstance(found, np.uint16)
    assert found == array[5, -1, 2]


@pytest.mark.parametrize("shape", [(0, 4, 4), (4, 0, 4)])
@pytest.mark.parametrize("options", [{}, {"chunks": (2, 2, 2), "maxshape": (None, None, None)}])
def test_an_array_without_elements_is_read(stored, shape, options):
    dataset = stored(np.zeros(shape, "u2"), **options)
    assert DatasetReader(dataset).read(...).shape == shape
    assert sum(len(block) for block in blocks_of(dataset)) == shape[0]


# Chunks that are not what the pipeline says.


def test_filters_that_a_chunk_has_skipped_are_skipped(tmp_path, threads):
    array = counts((6, 9, 11))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        dataset = file.create_dataset("a", array.shape, "u2", chunks=(2, 9, 11), shuffle=True, compression="gzip")
        dataset[:2] = array[:2]
        dataset.id.write_direct_chunk((2, 0, 0), array[2:4].tobytes(), 0b11)
        shuffled = np.frombuffer(array[4:].tobytes(), np.uint8).reshape(-1, 2).T.tobytes()
        dataset.id.write_direct_chunk((4, 0, 0), shuffled, 0b10)
    with h5py.File(tmp_path / "a.h5") as file:
        assert np.array_equal(file["a"][()], array)
        assert np.array_equal(DatasetReader(file["a"], threads).read(...), array)


@pytest.mark.parametrize("fill", [None, 7])
@pytest.mark.parametrize("dtype", ["u2", "f4", ">i4"])
def test_chunks_that_were_never_written_hold_the_fill_value(tmp_path, threads, fill, dtype):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        dataset = file.create_dataset("a", SHAPE, dtype, chunks=(4, 5, 11), fillvalue=fill, compression="gzip")
        dataset[5:7, :5] = 3
        file.create_dataset("none", SHAPE, dtype, chunks=(4, 5, 11), fillvalue=fill)
    with h5py.File(tmp_path / "a.h5") as file:
        for name in ("a", "none"):
            expected = file[name][()]
            reader = DatasetReader(file[name], threads)
            assert np.array_equal(reader.read(...), expected)
            assert np.array_equal(reader.read(6), expected[6])
            assert np.array_equal(reader.read([20, 6, 0]), expected[[20, 6, 0]])
            blocks = list(blocks_of(file[name]))
            assert np.array_equal(np.concatenate(blocks), expected)
            assert all(block.flags.writeable for block in blocks)


def test_a_dataset_that_has_shrunk_and_grown_is_read(tmp_path):
    array = counts()
    with h5py.File(tmp_path / "a.h5", "w") as file:
        dataset = file.create_dataset("a", data=array, chunks=(4, 9, 11), maxshape=(None, 9, 11), fillvalue=5)
        dataset.resize(6, axis=0)
        dataset.resize(30, axis=0)
    with h5py.File(tmp_path / "a.h5") as file:
        expected = file["a"][()]
        assert (expected[6:] == 5).all()
        assert np.array_equal(DatasetReader(file["a"]).read(...), expected)


# Into an array of the caller's.


@pytest.mark.parametrize("name", ["bitshuffle-lz4", "contiguous"])
def test_an_array_of_any_strides_is_filled_and_nothing_around_it(stored, name):
    array = counts()
    dataset = stored(array, **{"chunks": (4, 9, 11)} | OPTIONS[name])
    around = np.full((2 * 5, 11 + 2, 9), 99, "u2")
    out = around[::2, 1:-1].transpose(0, 2, 1)
    DatasetReader(dataset).read_into(out, [3, 3, -1, 0, 8])
    assert np.array_equal(out, array[[3, 3, -1, 0, 8]])
    assert (around[1::2] == 99).all()
    assert (around[:, [0, -1]] == 99).all()


@pytest.mark.parametrize("dtype", ["f4", "f8", "u8", ">u2", "c8"])
def test_values_are_converted_to_the_type_of_the_array(stored, dtype):
    array = counts()
    out = np.empty(array.shape, dtype)
    DatasetReader(stored(array, chunks=(4, 9, 11))).read_into(out)
    assert np.array_equal(out, array)


@pytest.mark.parametrize(
    ("out", "error"),
    [
        (np.empty((22, 9, 11), "u2"), ValueError),
        (np.empty((23, 9, 11, 1), "u2"), ValueError),
        (np.empty(SHAPE, "?"), TypeError),
        (np.broadcast_to(np.uint16(0), SHAPE), ValueError),
    ],
    ids=["shape", "dimensions", "type", "read-only"],
)
def test_an_array_that_does_not_fit_is_refused(stored, out, error):
    with pytest.raises(error, match="array"):
        DatasetReader(stored(counts(), chunks=(4, 9, 11))).read_into(out)


def test_frames_one_after_the_other_decode_a_chunk_once(stored, monkeypatch):
    array = counts()
    reader = DatasetReader(stored(array, chunks=(4, 5, 11), **DIRECT["bitshuffle-lz4"]), 1)
    decoded = []
    decode = reader._road.decode
    monkeypatch.setattr(reader._road, "decode", lambda piece, *a: decoded.append(piece.offset) or decode(piece, *a))
    assert np.array_equal([reader.read(number) for number in range(8)], array[:8])
    assert decoded == [(0, 0, 0), (0, 5, 0), (4, 0, 0), (4, 5, 0)]


@pytest.mark.parametrize("codec", ["bitshuffle-zstd", "bitshuffle-lz4"])
def test_rows_in_any_order_of_chunks_that_are_decoded_in_part(stored, codec):
    array = np.random.default_rng(3).poisson(4, (40, 16, 16)).astype("u2")
    name = codec.partition("-")[2]
    options = dict(hdf5plugin.Bitshuffle(nelems=256, cname=name))
    with closing(DatasetReader(stored(array, chunks=(16, 16, 16), **options))) as reader:
        for index in (3, 4, 3, 20, slice(5, 9), slice(14, 2, -3), [39, 0, 17, 16, 39], slice(None), 33):
            assert np.array_equal(reader.read(index), array[index])


def test_one_frame_of_a_chunk_decodes_part_of_it_unless_frames_come_one_after_the_other(stored, monkeypatch):
    array = np.random.default_rng(3).poisson(4, (40, 16, 16)).astype("u2")
    reader = DatasetReader(stored(array, chunks=(8, 16, 16), **DIRECT["zstd"]), 1)
    whole = []
    decode = reader._road.decode
    monkeypatch.setattr(reader._road, "decode", lambda *a: whole.append(a[2]) or decode(*a))
    for number in (2, 9, 10, 35, 3, 16, 24):
        assert np.array_equal(reader.read(number), array[number])
    assert whole == [False, True, False, False, False, True]


@pytest.mark.parametrize("name", DIRECT)
@pytest.mark.parametrize("rows", [1, 4])
def test_whole_chunks_come_to_their_place_in_the_array(stored, threads, name, rows):
    array = counts()
    dataset = stored(array, chunks=(rows, 9, 11), fillvalue=7, **DIRECT[name])
    around = np.full((26, 9, 11), 99, "u2")
    with closing(DatasetReader(dataset, threads)) as reader:
        for index in (slice(None), slice(None, None, -1), [4, 5, 6, 7, 2, 0, 4], [7, 6, 5, 4], [3, 3], slice(3, 13)):
            expected = array[index]
            out = around[1 : 1 + len(expected)]
            reader.read_into(out, index)
            assert np.array_equal(out, expected)
            assert (around[0] == 99).all()
            assert (around[24:] == 99).all()


@pytest.mark.parametrize("rows", [1, 4])
def test_lost_chunks_have_the_fill_value_also_in_an_array_that_is_given(tmp_path, rows):
    array = counts((12, 9, 11))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        options = dict(hdf5plugin.Zstd()) | {"fletcher32": True}
        dataset = file.create_dataset("a", data=array, chunks=(rows, 9, 11), fillvalue=7, **options)
        mask, data = dataset.id.read_direct_chunk((4, 0, 0))
        dataset.id.write_direct_chunk((4, 0, 0), data[:20] + b"?" + data[21:], mask)
    array[4 : 4 + rows] = 7
    with h5py.File(tmp_path / "a.h5") as file, closing(DatasetReader(file["a"], accept_damage=True)) as reader:
        out = np.zeros_like(array)
        reader.read_into(out)
        assert np.array_equal(out, array)
        assert reader.lost_rows.tolist() == list(range(4, 4 + rows))


def test_a_random_batch_decodes_a_chunk_once(stored, monkeypatch):
    array = counts()
    reader = DatasetReader(stored(array, chunks=(4, 9, 11), **DIRECT["bitshuffle-lz4"]), 1)
    decoded = []
    decode = reader._road.decode
    monkeypatch.setattr(reader._road, "decode", lambda piece, *a: decoded.append(piece.offset) or decode(piece, *a))
    numbers = [9, 1, 22, 0, 9, -1, 8]
    assert np.array_equal(reader.read(numbers), array[numbers])
    assert decoded == [(0, 0, 0), (8, 0, 0), (20, 0, 0)]


def test_many_threads_may_read_at_once(stored):
    array = counts((200, 9, 11))
    reader = DatasetReader(stored(array, chunks=(4, 5, 11), **DIRECT["shuffle-zstd"]), 3)
    batches = [np.random.default_rng(seed).integers(0, 200, 20) for seed in range(40)]
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(reader.read, batches))
        frames = list(pool.map(reader.read, range(200)))
    assert all(np.array_equal(a, array[b]) for a, b in zip(found, batches, strict=True))
    assert np.array_equal(frames, array)


# Blocks.


@pytest.mark.parametrize("chunks", [(4, 9, 11), (4, 5, 3), (1, 9, 11), None])
@pytest.mark.parametrize("block_bytes", [1, 3000, 10**6])
def test_blocks_are_whole_chunks_in_order(stored, threads, chunks, block_bytes):
    array = counts()
    reader = DatasetReader(stored(array, chunks=chunks), threads)
    found = [(rows, *future.result()) for rows, future in reader.blocks(lambda *block: block, block_bytes)]
    assert [rows.start for rows, _, _ in found] == [first for _, first, _ in found]
    assert [number for rows, _, _ in found for number in rows] == list(range(23))
    assert all(np.array_equal(block, array[rows.start : rows.stop]) for rows, _, block in found)
    assert all(len(rows) % (chunks[0] if chunks else 1) == 0 for rows, _, _ in found[:-1])
    assert all(block.flags.c_contiguous and block.flags.writeable for _, _, block in found)


def test_what_a_function_raises_is_in_its_future(stored, threads):
    reader = DatasetReader(stored(counts(), chunks=(4, 9, 11)), threads)
    futures = [future for _, future in reader.blocks(lambda first, _: 1 / (first - 8), 1)]
    assert [type(future.exception()) for future in futures] == [type(None)] * 2 + [ZeroDivisionError] + [type(None)] * 3


# Chunks that cannot be decoded.


def damage(dataset, origin, start=0, stop=None, byte=0x5A):
    """Overwrite bytes of a chunk in the file, and open the dataset again."""
    path, name = dataset.file.filename, dataset.name
    chunk = dataset.id.get_chunk_info_by_coord(origin)
    dataset.file.close()
    with open(path, "r+b") as file:  # noqa: PTH123
        file.seek(chunk.byte_offset + start)
        file.write(bytes([byte]) * ((stop or chunk.size) - start))
    return h5py.File(path)[name]


@pytest.mark.parametrize("name", [name for name in DIRECT if name not in ("none", "shuffle", "bitshuffle-none")])
@pytest.mark.parametrize("index", [..., 9, [0, 9], slice(8, 9)], ids=str)
def test_a_damaged_chunk_is_named(stored, threads, name, index):
    dataset = damage(stored(counts(), chunks=(4, 9, 11), **DIRECT[name]), (8, 0, 0))
    with pytest.raises(ContractError) as caught:
        DatasetReader(dataset, threads).read(index)
    assert caught.value.file == dataset.file.filename
    assert caught.value.key == "/group/frames"
    assert "cannot be read: chunk (8, 0, 0): " in str(caught.value)


def test_the_other_chunks_of_a_damaged_dataset_are_read(stored, threads):
    array = counts()
    dataset = damage(stored(array, chunks=(4, 9, 11), **DIRECT["zstd"]), (8, 0, 0))
    reader = DatasetReader(dataset, threads)
    assert np.array_equal(reader.read(np.r_[0:8, 12:23]), array[np.r_[0:8, 12:23]])
    bad = [rows for rows, future in reader.blocks(lambda *_: None, 1) if future.exception()]
    assert bad == [range(8, 12)]


def test_a_chunk_of_another_size_is_named(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        dataset = file.create_dataset("a", SHAPE, "u2", chunks=(4, 9, 11), shuffle=True)
        dataset.id.write_direct_chunk((4, 0, 0), bytes(4 * 9 * 11 * 2 - 1))
    with (
        h5py.File(tmp_path / "a.h5") as file,
        pytest.raises(ContractError, match=r"chunk \(4, 0, 0\).* 791 bytes, expected 792"),
    ):
        DatasetReader(file["a"]).read(5)


def with_unknown_filter(path):
    """A dataset of a filter that nobody has; its second chunk has skipped it."""
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk((2, 4, 4))
    properties.set_filter(31999, h5py.h5z.FLAG_OPTIONAL, (1, 2))
    with h5py.File(path, "w") as file:
        space = h5py.h5s.create_simple((4, 4, 4))
        dataset = h5py.h5d.create(file.id, b"a", h5py.h5t.NATIVE_UINT16, space, properties)
        dataset.write_direct_chunk((0, 0, 0), bytes(64), 0)
        dataset.write_direct_chunk((2, 0, 0), b"\1\0" * 32, 1)
    return h5py.File(path)["a"]


@pytest.mark.parametrize("index", [..., 0, [1, 0]], ids=str)
def test_a_filter_that_is_not_available_is_named_with_its_number(tmp_path, index):
    dataset = with_unknown_filter(tmp_path / "a.h5")
    with pytest.raises(ContractError, match=r"a.h5: /a: cannot be read: filter unknown \(31999\) is not available"):
        DatasetReader(dataset).read(index)


def test_chunks_that_have_skipped_a_filter_that_is_not_available_are_read(tmp_path):
    assert (DatasetReader(with_unknown_filter(tmp_path / "a.h5")).read(slice(2, 4)) == 1).all()


HOSTILE = """
import random, resource, sys
import h5py, hdf5plugin, numpy as np
from ptychoproduct import ContractError
from ptychoproduct.hdf5.dataset_reader import DatasetReader

resource.setrlimit(resource.RLIMIT_CPU, (50, 50))
path, rng, refused = sys.argv[1], random.Random(0), 0
with h5py.File(path) as file:
    mask, good = file["a"].id.read_direct_chunk((0, 0, 0))
for number in range(60):
    data = bytearray(good)
    if number % 3 == 0:
        del data[rng.randrange(1, len(data)) :]
    elif number % 3 == 1:
        data[:] = rng.randbytes(rng.randrange(1, 300))
    else:
        place = rng.randrange(20)
        data[place : place + 4] = rng.choice((b"\\xff", b"\\x7f", b"\\0")) * 4
    with h5py.File(path, "a") as file:
        for first in (0, 4):
            file["a"].id.write_direct_chunk((first, 0, 0), bytes(data), mask)
    with h5py.File(path) as file:
        reader = DatasetReader(file["a"], 2)
        try:
            reader.read(...)
        except ContractError:
            refused += 1
print("refused", refused > 0)
"""


@pytest.mark.parametrize(
    "name", ["bitshuffle-lz4", "bitshuffle-zstd", "zstd", "lz4", "blosc", "blosc2", "bzip2", "gzip"]
)
def test_hostile_chunks_are_refused_and_harm_nothing(tmp_path, name):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("a", data=counts((8, 64, 64)), chunks=(4, 64, 64), **DIRECT[name])
    result = subprocess.run(
        [sys.executable, "-c", HOSTILE, str(tmp_path / "a.h5")], capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stdout.split("\n")[-2:]) == (0, ["refused True", ""]), result.stderr


def test_one_slow_block_does_not_keep_many_threads_waiting(tmp_path):
    with h5py.File(tmp_path / "slow.h5", "w") as file:
        file.create_dataset("a", (140, 1024**2), "u1", chunks=(1, 1024**2))  # never written: fill values
    others, are_done = itertools.count(1), threading.Event()

    def function(first, block):
        if first == 0:
            return are_done.wait(30)
        if next(others) == 100:
            are_done.set()
        return block.nbytes

    with h5py.File(tmp_path / "slow.h5") as file, closing(DatasetReader(file["a"], threads=64)) as reader:
        assert next(reader.blocks(function))[1].result()
