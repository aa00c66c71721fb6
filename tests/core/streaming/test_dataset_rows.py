"""DatasetRows: the rows of an HDF5 dataset, however it is stored, under any budget."""

import h5py
import hdf5plugin
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ptychoproduct.errors import SourceError
from ptychoproduct.hdf5.folder_links import Hdf5Source
from ptychoproduct.streaming.dataset_rows import DatasetRows
from ptychoproduct.system.resources import Resources

ORDERS = {"NHW": (0, 1, 2), "HNW": (1, 0, 2), "HWN": (2, 0, 1)}
STACK = np.arange(11 * 6 * 7, dtype="<u2").reshape(11, 6, 7)
LAYOUTS = {
    "contiguous": {},
    "frames": {"chunks": (1, 6, 7), "compression": "gzip"},
    "blocks": {"chunks": (4, 6, 7), **hdf5plugin.Zstd(clevel=1)},
    "tiles": {"chunks": (3, 4, 5), "shuffle": True, "compression": "lzf", "fletcher32": True},
    "one chunk": {"chunks": (11, 6, 7), **hdf5plugin.Bitshuffle()},
    "chunks larger than the stack": {"chunks": (16, 6, 7), "maxshape": (None, 6, 7)},
}


def write(folder, array, **layout):
    path = folder / "frames.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("dp", data=array, **layout)
    return path


def all_rows(rows, step):
    array = np.empty(rows.shape, rows.dtype)
    for first in range(0, len(array), step):
        rows.read_into(first, memoryview(array[first : first + step].reshape(-1).view(np.uint8)))
    rows.finish()
    return array


def permuted(shape, axes):
    return tuple(shape[axes.index(axis)] for axis in range(3))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("axes", ORDERS.values(), ids=ORDERS)
@pytest.mark.parametrize("step", [1, 4, 50])
@pytest.mark.parametrize("memory_bytes", [1, 200, 2**30])
def test_rows_of_a_dataset(tmp_path, layout, axes, step, memory_bytes):
    options = dict(LAYOUTS[layout])
    for key in ("chunks", "maxshape"):
        if key in options:
            options[key] = permuted(options[key], axes)
    path = write(tmp_path, STACK.transpose(np.argsort(axes)), **options)
    with Hdf5Source(path) as source:
        rows = DatasetRows(source.find("/dp"), axes, Resources(2, memory_bytes), source=source)
        assert (rows.shape, rows.dtype) == (STACK.shape, STACK.dtype)
        assert np.array_equal(all_rows(rows, step), STACK)


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<u2", ">u2", "|u1", "<f8", "<f2", "|b1", ">i8"])
def test_rows_are_in_native_byte_order(tmp_path, dtype):
    stack = (STACK % 3).astype(dtype)
    with Hdf5Source(write(tmp_path, stack, chunks=(4, 6, 7))) as source:
        rows = all_rows(DatasetRows(source.find("/dp"), (0, 1, 2), Resources(2, 1000), source=source), 4)
    assert rows.dtype == stack.dtype.newbyteorder("=")
    assert np.array_equal(rows, stack)


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.tuples(*[st.integers(1, 9)] * 3),
    chunks=st.tuples(*[st.integers(1, 9)] * 3),
    axes=st.sampled_from(list(ORDERS.values())),
    memory_bytes=st.integers(1, 2000),
    step=st.integers(1, 9),
)
def test_any_shape_and_chunks_and_budget(tmp_path, shape, chunks, axes, memory_bytes, step):
    stack = np.arange(np.prod(shape), dtype="i4").reshape(shape)
    path = write(tmp_path, stack, chunks=tuple(map(min, chunks, shape)), compression="gzip")
    with Hdf5Source(path) as source:
        rows = all_rows(DatasetRows(source.find("/dp"), axes, Resources(2, memory_bytes), source=source), step)
    assert np.array_equal(rows, stack.transpose(axes))


def test_rows_may_be_skipped(tmp_path):
    with Hdf5Source(write(tmp_path, STACK, chunks=(4, 6, 7))) as source:
        rows = DatasetRows(source.find("/dp"), (0, 1, 2), Resources(2, 1), source=source)
        found = np.empty((2, 6, 7), STACK.dtype)
        for first in (8, 0, 4):
            rows.read_into(first, memoryview(found.reshape(-1).view(np.uint8)))
            assert np.array_equal(found, STACK[first : first + 2])


def test_chunks_that_were_never_written_hold_the_fill_value(tmp_path):
    path = tmp_path / "frames.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("dp", (11, 6, 7), "u2", chunks=(4, 6, 7), fillvalue=9)[:4] = 1
    with Hdf5Source(path) as source:
        rows = all_rows(DatasetRows(source.find("/dp"), (0, 1, 2), Resources(2, 10**6), source=source), 11)
    assert np.unique(rows[:4]).tolist() == [1]
    assert np.unique(rows[4:]).tolist() == [9]


@pytest.mark.parametrize("memory_bytes", [1, 2**30])
@pytest.mark.parametrize(
    ("chunk", "frames"), [((4, 6, 7), "frames 4 to 7"), ((1, 6, 7), "frames 4 to 4"), ((3, 6, 7), "frames 3 to 5")]
)
def test_a_chunk_that_cannot_be_decoded_is_named_by_its_frames(tmp_path, memory_bytes, chunk, frames):
    path = write(tmp_path, STACK, chunks=chunk, **hdf5plugin.Zstd())
    with h5py.File(path) as file:
        place = file["dp"].id.get_chunk_info_by_coord((4 // chunk[0] * chunk[0], 0, 0)).byte_offset
    with path.open("r+b") as file:
        file.seek(place)
        file.write(b"\xff" * 8)
    with Hdf5Source(path) as source:
        rows = DatasetRows(source.find("/dp"), (0, 1, 2), Resources(2, memory_bytes), source=source)
        with pytest.raises(SourceError, match=rf"frames\.h5: /dp: {frames} cannot be decoded"):
            all_rows(rows, 1)
