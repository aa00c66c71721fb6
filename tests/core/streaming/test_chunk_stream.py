"""Rows to chunks: every codec and type comes back bit for bit by h5py."""

import threading
from contextlib import closing

import h5py
import hdf5plugin
import numpy as np
import pytest

from ptychoproduct.compression.codecs import parse_codec
from ptychoproduct.errors import OptionError
from ptychoproduct.hdf5.chunks import create_chunked, default_chunk_rows
from ptychoproduct.hdf5.dataset_reader import DatasetReader
from ptychoproduct.streaming.chunk_stream import ChunkStream, write_rows
from ptychoproduct.streaming.chunk_target import RowOutput
from ptychoproduct.streaming.sources import Access, ArrayRows
from ptychoproduct.system.resources import Resources

CODECS = [
    "none",
    "gzip:1",
    "shuffle+gzip:4",
    "zstd:1",
    "shuffle+zstd:3",
    "bitshuffle-lz4",
    "bitshuffle-zstd:1",
    "bitshuffle-zstd:1,block=128",
]
DTYPES = ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8", "?"]
# shape, rows of a chunk, threads
LAYOUTS = {
    "one frame": ((1, 7, 13), None, 3),
    "last chunk partial": ((10, 7, 13), 4, 3),
    "one frame a chunk": ((9, 5, 3), 1, 1),
    "chunk larger than the scan": ((5, 11, 17), 64, 3),
    "whole chunks": ((8, 8, 16), 4, 1),
    "one pixel": ((23, 1, 1), 5, 3),
    "a list": ((101,), 7, 3),
}


class FailingRows:
    """Rows of ones that cannot be read from a certain row on."""

    def __init__(self, shape, fails_at, access, error):
        self.shape = shape
        self.dtype = np.dtype("f4")
        self.access = access
        self._fails_at = fails_at
        self._error = error
        self.finished = False

    def read_into(self, first, view):
        if first >= self._fails_at:
            raise self._error
        np.frombuffer(view, self.dtype)[:] = 1

    def finish(self):
        self.finished = True


class CountedRows(ArrayRows):
    """Rows that are to be read in order, and remember how far they were read."""

    access = Access.IN_ORDER
    rows_read = 0

    def read_into(self, first, view):
        assert first == self.rows_read
        super().read_into(first, view)
        self.rows_read += len(view) // (self._array[0].size * self.dtype.itemsize)


def random_array(shape, dtype):
    """Half zeros, half any bits, so that floats have NaN of every kind among them."""
    rng = np.random.default_rng(5)
    dtype = np.dtype(dtype)
    data = np.frombuffer(rng.bytes(int(np.prod(shape)) * dtype.itemsize), np.uint8).copy()
    if dtype.kind == "b":
        data &= 1
    array = data.view(dtype).reshape(shape)
    array[rng.random(shape) < 0.5] = 0
    return array


def resources(threads, progress=None):
    return Resources(threads) if progress is None else Resources(threads, progress=progress)


def write(file, array, codec="bitshuffle-zstd:1", chunk_rows=None, threads=2, progress=None, source=None):
    chunk_shape = chunk_rows and (chunk_rows, *array.shape[1:])
    dataset = create_chunked(
        file, "frames", array.shape[1:], array.dtype.newbyteorder("="), parse_codec(codec), len(array), chunk_shape
    )
    write_rows([RowOutput(dataset)], source or ArrayRows(array), resources(threads, progress))
    return dataset


def written(array, *arguments, **keywords):
    with h5py.File.in_memory() as file:
        return write(file, array, *arguments, **keywords)[()]


def encoding_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("encode")]


def submit_and_fail(dataset, failure):
    with ChunkStream([RowOutput(dataset)], dataset.dtype, Resources(3)) as stream:
        stream.submit_block(range(1), stream.new_block())
        failure()


def raise_key_error():
    raise KeyError


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("codec", CODECS)
def test_h5py_reads_what_was_written_bit_for_bit(codec, dtype, layout):
    shape, chunk_rows, threads = layout
    array = random_array(shape, dtype)
    result = written(array, codec, chunk_rows, threads)
    assert (result.dtype, result.shape, result.tobytes()) == (array.dtype, array.shape, array.tobytes())


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_nan_payloads_and_negative_zeros_survive(codec, dtype):
    bits = {"f2": [0x7E01, 0xFE02, 0x7C01, 0x8000, 0x0001], "f4": [0x7FC12345, 0xFFA00001, 0x7F800001, 0x80000000, 1]}
    bits["f8"] = [0x7FF8000012345678, 0xFFF4000000000001, 0x7FF0000000000001, 1 << 63, 1]
    array = np.array(bits[dtype], dtype.replace("f", "u")).view(dtype).reshape(5, 1, 1)
    assert written(array, codec, 2).tobytes() == array.tobytes()


@pytest.mark.parametrize("codec", CODECS)
def test_arrays_of_the_other_byte_order_are_written_in_native_order(codec):
    array = random_array((10, 7, 13), "u4").astype(">u4")
    assert written(array, codec, 3).tobytes() == array.astype("=u4").tobytes()


def test_a_transposed_array_is_written_in_canonical_order():
    array = random_array((13, 7, 10), "f4").transpose(2, 1, 0)
    assert written(array, chunk_rows=3).tobytes() == array.tobytes()


@pytest.mark.parametrize("dtype", ["c8", "c16", "S5"])
def test_other_types_that_hdf5_has_are_written_too(dtype):
    array = np.frombuffer(np.random.default_rng(0).bytes(30 * np.dtype(dtype).itemsize), dtype).reshape(10, 3)
    assert written(array, chunk_rows=4).tobytes() == array.tobytes()


@pytest.mark.parametrize("codec", CODECS)
def test_the_number_of_threads_does_not_change_the_file(codec, tmp_path):
    array = random_array((37, 16, 16), "u2")
    for threads in (1, 3):
        with h5py.File(tmp_path / f"{threads}.h5", "w", track_order=True) as file:
            write(file, array, codec, 4, threads)
    assert (tmp_path / "1.h5").read_bytes() == (tmp_path / "3.h5").read_bytes()


def test_chunks_lie_in_the_file_in_their_order(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        dataset = write(file, random_array((40, 16, 16), "f4"), chunk_rows=3, threads=3)
        chunks = [dataset.id.get_chunk_info(i) for i in range(dataset.id.get_num_chunks())]
    in_order = sorted(chunks, key=lambda chunk: chunk.chunk_offset)
    assert [chunk.byte_offset for chunk in in_order] == sorted(chunk.byte_offset for chunk in chunks)


def test_the_rest_of_the_last_chunk_is_zeros():
    with h5py.File.in_memory() as file:
        dataset = write(file, np.full((5, 2, 2), 7, np.uint8), "none", chunk_rows=4)
        assert dataset.id.read_direct_chunk((4, 0, 0))[1] == b"\7" * 4 + bytes(12)


def test_a_dataset_has_the_chunks_that_were_asked_for():
    with h5py.File.in_memory() as file:
        assert write(file, random_array((10, 3, 4), "u1"), chunk_rows=4).chunks == (4, 3, 4)


def test_a_chunk_is_no_larger_than_the_dataset():
    with h5py.File.in_memory() as file:
        assert write(file, random_array((10, 3, 4), "u1"), chunk_rows=400).chunks == (10, 3, 4)


@pytest.mark.parametrize(
    ("row_shape", "dtype", "rows"),
    [((256, 256), "f4", 4), ((256, 256), "u2", 8), ((512, 512), "f4", 1), ((2000, 2000), "f8", 1), ((), "f8", 131072)],
)
def test_a_chunk_is_about_a_mebibyte_by_default(row_shape, dtype, rows):
    assert default_chunk_rows(row_shape, np.dtype(dtype)) == rows


@pytest.mark.parametrize("appended", [1, 3, 4])
def test_a_growing_dataset_grows_by_whole_chunks(appended):
    array = random_array((appended * 4, 3, 5), "u2")
    with h5py.File.in_memory() as file:
        dataset = create_chunked(file, "frames", (3, 5), array.dtype, parse_codec("zstd:1"), None, (4, 3, 5))
        with ChunkStream([RowOutput(dataset)], dataset.dtype, Resources(2)) as stream:
            stream.submit_rows(ArrayRows(array), range(len(array)))
        assert dataset.shape == array.shape
        assert dataset[()].tobytes() == array.tobytes()


def test_a_dataset_to_which_nothing_is_appended_stays_empty():
    with h5py.File.in_memory() as file:
        dataset = create_chunked(file, "frames", (3, 5), np.dtype("u2"), parse_codec("zstd:1"), None, (4, 3, 5))
        with ChunkStream([RowOutput(dataset)], dataset.dtype, Resources(2)):
            pass
        assert dataset.shape == (0, 3, 5)


def test_the_partial_chunk_of_a_growing_dataset_can_be_cut_off():
    with h5py.File.in_memory() as file:
        dataset = create_chunked(file, "frames", (2,), np.dtype("u1"), parse_codec("none"), None, (4, 2))
        with ChunkStream([RowOutput(dataset)], dataset.dtype, Resources(2)) as stream:
            block = stream.new_block()
            memoryview(block)[:] = bytes([1, 2, 3, 4, 5, 6, 0, 0])
            stream.submit_block(range(3), block)
        dataset.resize(3, axis=0)
        assert dataset[()].tolist() == [[1, 2], [3, 4], [5, 6]]


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_progress_adds_up_to_the_bytes_of_the_source(layout):
    shape, chunk_rows, threads = layout
    array = random_array(shape, "f4")
    steps = []
    written(array, "zstd:1", chunk_rows, threads, progress=steps.append)
    assert sum(steps) == array.nbytes


def test_progress_is_called_by_the_thread_that_writes():
    callers = set()
    written(random_array((20, 4, 4), "f4"), chunk_rows=2, progress=lambda _: callers.add(threading.current_thread()))
    assert callers == {threading.current_thread()}


def test_a_source_without_random_access_is_read_in_order():
    array = random_array((50, 8, 8), "f4")
    assert written(array, chunk_rows=3, threads=3, source=CountedRows(array)).tobytes() == array.tobytes()


def test_a_source_is_read_only_a_few_chunks_ahead_of_the_file():
    array = random_array((100, 8, 8), "f4")
    source = CountedRows(array)
    ahead = []
    done = 0

    def progress(nbytes):
        nonlocal done
        done += nbytes // array[0].nbytes
        ahead.append(source.rows_read - done)

    written(array, chunk_rows=1, threads=2, source=source, progress=progress)
    assert max(ahead) <= 8


@pytest.mark.parametrize("access", [Access.ANY_THREAD, Access.IN_ORDER])
@pytest.mark.parametrize("fails_at", [0, 5, 19])
@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_in_the_source_propagates(access, fails_at, threads):
    error = RuntimeError("the disk is gone")
    source = FailingRows((20, 4, 4), fails_at, access, error)
    with h5py.File.in_memory() as file:
        dataset = create_chunked(file, "a", (4, 4), source.dtype, parse_codec("zstd:1"), 20, (1, 4, 4))
        with pytest.raises(RuntimeError, match="the disk is gone") as raised:
            write_rows([RowOutput(dataset)], source, Resources(threads))
    assert raised.value is error


@pytest.mark.parametrize("access", [Access.ANY_THREAD, Access.IN_ORDER])
@pytest.mark.parametrize("fails_at", [0, 5, 19, 1000])
def test_no_thread_is_left_whether_or_not_there_was_an_error(access, fails_at):
    source = FailingRows((20, 4, 4), fails_at, access, RuntimeError())
    with h5py.File.in_memory() as file:
        dataset = create_chunked(file, "a", (4, 4), source.dtype, parse_codec("zstd:1"), 20, (1, 4, 4))
        try:
            write_rows([RowOutput(dataset)], source, Resources(3))
        except RuntimeError:
            assert fails_at < 20
    assert encoding_threads() == []


@pytest.mark.parametrize("access", [Access.ANY_THREAD, Access.IN_ORDER])
def test_checksums_are_not_asked_for_after_an_error(access):
    source = FailingRows((20, 4, 4), 5, access, RuntimeError())
    with h5py.File.in_memory() as file:
        dataset = create_chunked(file, "a", (4, 4), source.dtype, parse_codec("zstd:1"), 20, (1, 4, 4))
        with pytest.raises(RuntimeError):
            write_rows([RowOutput(dataset)], source, Resources(3))
    assert not source.finished


@pytest.mark.parametrize("access", [Access.ANY_THREAD, Access.IN_ORDER])
def test_checksums_are_asked_for_in_the_end(access):
    source = FailingRows((20, 4, 4), 1000, access, RuntimeError())
    with h5py.File.in_memory() as file:
        dataset = create_chunked(file, "a", (4, 4), source.dtype, parse_codec("zstd:1"), 20, (1, 4, 4))
        write_rows([RowOutput(dataset)], source, Resources(3))
    assert source.finished


def test_an_error_of_the_block_leaves_no_thread():
    with h5py.File.in_memory() as file:
        dataset = create_chunked(file, "a", (4,), np.dtype("u1"), parse_codec("none"), None, (1, 4))
        with pytest.raises(KeyError):
            submit_and_fail(dataset, raise_key_error)
    assert encoding_threads() == []


def test_an_error_of_progress_leaves_no_thread():
    def progress(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        written(random_array((50, 4, 4), "u1"), chunk_rows=1, threads=3, progress=progress)
    assert encoding_threads() == []


def test_a_file_that_is_closed_meanwhile_is_an_error_and_leaves_no_thread():
    with h5py.File.in_memory() as file:
        dataset = create_chunked(file, "a", (4,), np.dtype("u1"), parse_codec("none"), 3, (1, 4))
        stream = ChunkStream([RowOutput(dataset)], dataset.dtype, Resources(3))
        file.close()
        stream.submit_block(range(1), stream.new_block())
        with pytest.raises(RuntimeError, match="dataspace"):
            stream.__exit__(None, None, None)
    assert encoding_threads() == []


TILES = [(1, 1, 1), (4, 3, 5), (4, 5, 20), (7, 16, 16), (37, 7, 16), (2, 100, 3)]


def write_tiles(file, array, chunk_shape, source=None, threads=2, progress=None, convert=None, dtype=None):
    dtype = np.dtype(dtype or array.dtype)
    dataset = create_chunked(file, "tiles", array.shape[1:], dtype, parse_codec("zstd:1"), len(array), chunk_shape)
    outputs = [RowOutput(dataset, convert)]
    write_rows(outputs, source or ArrayRows(array), resources(threads, progress))
    return dataset


@pytest.mark.parametrize("in_order", [False, True])
@pytest.mark.parametrize("chunk_shape", TILES)
def test_tiles_are_read_by_h5py_bit_for_bit(chunk_shape, in_order):
    array = random_array((37, 16, 16), "f4")
    source = CountedRows(array) if in_order else None
    with h5py.File.in_memory() as file:
        assert write_tiles(file, array, chunk_shape, source)[()].tobytes() == array.tobytes()


@pytest.mark.parametrize("chunk_shape", TILES)
def test_tiles_are_no_larger_than_the_dataset(chunk_shape):
    with h5py.File.in_memory() as file:
        dataset = write_tiles(file, random_array((37, 16, 16), "u1"), chunk_shape)
        assert dataset.chunks == tuple(map(min, chunk_shape, (37, 16, 16)))


@pytest.mark.parametrize("in_order", [False, True])
def test_blocks_of_tiles_follow_each_other(in_order):
    array = random_array((100, 256, 256), "u2")  # 13 MB, more than one block
    source = CountedRows(array) if in_order else None
    with h5py.File.in_memory() as file:
        assert write_tiles(file, array, (8, 64, 96), source, threads=3)[()].tobytes() == array.tobytes()


def test_what_a_tile_has_beyond_the_frames_is_zeros():
    with h5py.File.in_memory() as file:
        dataset = write_tiles(file, np.full((3, 3, 3), 7, np.uint8), (2, 2, 2))
        expected = np.zeros((2, 2, 2), np.uint8)
        expected[0, 0, 0] = 7
        found = dataset.id.read_direct_chunk((2, 2, 2))[1]
        assert hdf5plugin_decoded(found, 8) == expected.tobytes()


def hdf5plugin_decoded(data, nbytes):
    with h5py.File.in_memory() as file:
        dataset = file.create_dataset("a", (nbytes,), "u1", chunks=(nbytes,), **hdf5plugin.Zstd())
        dataset.id.write_direct_chunk((0,), data)
        return dataset[()].tobytes()


@pytest.mark.parametrize("chunk_shape", [(4, 16, 16), (4, 5, 6)])
def test_progress_of_tiles_adds_up_to_the_bytes_of_the_source(chunk_shape):
    array = random_array((37, 16, 16), "u4")
    steps = []
    with h5py.File.in_memory() as file:
        write_tiles(file, array, chunk_shape, progress=steps.append, convert=doubled, dtype="f8")
    assert sum(steps) == array.nbytes


def doubled(_, values, out):
    out[...] = values * out.dtype.type(2)


@pytest.mark.parametrize("chunk_shape", [(4, 16, 16), (4, 5, 6)])
def test_elements_can_be_converted_on_their_way(chunk_shape):
    array = random_array((37, 16, 16), "u2")
    with h5py.File.in_memory() as file:
        dataset = write_tiles(file, array, chunk_shape, convert=doubled, dtype="u4")
        np.testing.assert_array_equal(dataset[()], 2 * array.astype("u4"))


@pytest.mark.parametrize("chunk_shape", [(4, 3, 3), (4, 2, 2)])
def test_a_conversion_is_told_where_its_chunk_begins(chunk_shape):
    offsets = set()
    with h5py.File.in_memory() as file:
        write_tiles(file, np.zeros((6, 3, 3), "u1"), chunk_shape, convert=lambda offset, *_: offsets.add(offset))
        chunks = {chunk.chunk_offset for chunk in stored_chunks(file["tiles"])}
    assert offsets == chunks


def stored_chunks(dataset):
    return [dataset.id.get_chunk_info(i) for i in range(dataset.id.get_num_chunks())]


def test_an_error_of_a_conversion_ends_the_writing():
    def fail(*_):
        raise KeyError("no such count")

    with h5py.File.in_memory() as file, pytest.raises(KeyError, match="no such count"):
        write_tiles(file, np.zeros((6, 3, 3), "u1"), (4, 2, 2), convert=fail)
    assert encoding_threads() == []


@pytest.mark.parametrize("in_order", [False, True])
@pytest.mark.parametrize("shapes", [[(4, 8, 8), (4, 8, 8)], [(4, 8, 8), (6, 8, 8)], [(4, 8, 8), (3, 5, 5)]])
def test_one_pass_over_a_source_fills_several_datasets(shapes, in_order):
    array = random_array((37, 8, 8), "u2")
    source = (CountedRows if in_order else ArrayRows)(array)
    with h5py.File.in_memory() as file:
        datasets = [
            create_chunked(file, str(i), (8, 8), np.dtype(dtype), parse_codec("zstd:1"), 37, shape)
            for i, (shape, dtype) in enumerate(zip([shapes[0], *shapes], ["u2", "u4", "u2"], strict=True))
        ]
        converts = [None, doubled, None]
        write_rows([RowOutput(*output) for output in zip(datasets, converts, strict=True)], source, Resources(3))
        for dataset, factor in zip(datasets, [1, 2, 1], strict=True):
            np.testing.assert_array_equal(dataset[()], array * dataset.dtype.type(factor))


@pytest.mark.parametrize("chunk_shape", [(0, 8, 8), (4, 8), (4, -1, 8), (4, 8, 8, 8)])
def test_a_shape_that_no_chunk_can_have_is_refused(chunk_shape):
    with h5py.File.in_memory() as file, pytest.raises(OptionError, match="expected 3 positive numbers"):
        create_chunked(file, "a", (8, 8), np.dtype("u2"), parse_codec("none"), 9, chunk_shape)


def test_rows_that_would_take_much_memory_to_be_cut_are_refused():
    with h5py.File.in_memory() as file, pytest.raises(OptionError, match="is too large"):
        create_chunked(file, "a", (4096, 4096), np.dtype("f4"), parse_codec("none"), 1000, (64, 32, 32))


@pytest.mark.parametrize("codec", ["szip", "szip+fletcher32"])
def test_chunks_that_do_not_become_smaller_are_read_from_the_file_that_is_open_for_writing(codec):
    array = np.random.default_rng(1).standard_normal((12, 16, 16), np.float32)
    with h5py.File.in_memory() as file:
        dataset = write(file, array, codec, 12)
        assert dataset.id.get_chunk_info(0).filter_mask == 1
        with closing(DatasetReader(dataset)) as reader:
            np.testing.assert_array_equal(reader.read(...), array, strict=True)
