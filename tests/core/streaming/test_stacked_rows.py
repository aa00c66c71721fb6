"""Rows of a stack that is a grid, or has axes of length one, are NumPy's; each is read once where that is needed."""

import tracemalloc
from functools import partial

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptychoproduct.npz.npy import NpyFile
from ptychoproduct.streaming.dataset_rows import DatasetRows
from ptychoproduct.streaming.sources import Access, ArrayRows, row_bytes_of, windows_of
from ptychoproduct.streaming.stacked_rows import stack_axes, stack_shape, stacked_rows
from ptychoproduct.streaming.stored_rows import stored_rows
from ptychoproduct.system.resources import Resources

ORDERS = [(0, 1, 2), (1, 0, 2), (2, 0, 1)]


class InOrder:
    """Rows that come in order only, each once."""

    access = Access.IN_ORDER

    def __init__(self, rows):
        self.rows, self.next = rows, 0
        self.shape, self.dtype = rows.shape, rows.dtype

    def read_into(self, first, view):
        assert first == self.next
        self.next = first + len(view) // row_bytes_of(self.rows)
        self.rows.read_into(first, view)

    def finish(self):
        assert self.next == self.shape[0]


@pytest.mark.parametrize(
    ("shape", "stack"),
    [
        ((5, 6, 7), (5, 6, 7)),
        ((1, 6, 7), (1, 6, 7)),
        ((5, 6, 1), (5, 6, 1)),
        ((5, 6, 7, 1), (5, 6, 7)),
        ((1, 5, 6, 7), (5, 6, 7)),
        ((1, 6, 7, 1), (1, 6, 7)),
        ((1, 1, 5, 6, 7, 1, 1), (5, 6, 7)),
        ((2, 3, 6, 7), (6, 6, 7)),
        ((1, 2, 3, 6, 7), (6, 6, 7)),
        ((5, 1, 6, 7), (5, 6, 7)),
        ((1, 1, 1, 1), (1, 1, 1)),
    ],
)
def test_the_shape_of_a_stack(shape, stack):
    assert stack_shape(shape) == stack
    assert np.empty(shape).reshape(stack).size == np.empty(shape).size


@pytest.mark.parametrize("shape", [(), (5,), (5, 6), (2, 3, 4, 5, 6), (2, 1, 3, 4, 5), (2, 3, 4, 1, 5)])
def test_what_is_no_stack_keeps_its_shape(shape):
    assert stack_axes(shape) is None
    assert stack_shape(shape) == shape


def read_in_blocks(rows, sizes):
    """Read all rows in blocks of these sizes, again and again."""
    result = np.empty(rows.shape, rows.dtype)
    for window in windows_of(rows, 1):
        first, turn = window.start, 0
        while first < window.stop:
            stop = min(window.stop, first + sizes[turn % len(sizes)])
            rows.read_into(first, memoryview(result[first:stop]).cast("B"))
            first, turn = stop, turn + 1
    rows.finish()
    return result


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.integers(1, 4), min_size=4, max_size=4),
    st.sampled_from(ORDERS),
    st.lists(st.integers(1, 7), min_size=1, max_size=4),
    st.booleans(),
)
def test_rows_are_those_of_the_reshaped_array(shape, axes, sizes, in_order):
    array = np.arange(np.prod(shape), dtype=">i4").reshape(shape)
    wrap = InOrder if in_order else lambda rows: rows
    rows = stacked_rows(lambda inner: wrap(ArrayRows(array, inner)), shape, axes)
    expected = array.reshape(stack_shape(shape)).transpose(axes)
    assert rows.shape == expected.shape
    assert np.array_equal(read_in_blocks(rows, sizes), expected)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 11), min_size=1, max_size=8))
def test_rows_come_in_any_order_where_the_source_gives_them_so(firsts):
    array = np.arange(12 * 5 * 6).reshape(3, 4, 5, 6)
    rows = stacked_rows(partial(ArrayRows, array), array.shape)
    assert rows.access is Access.ONE_THREAD
    for first in firsts:
        row = np.empty((1, 5, 6), array.dtype)
        rows.read_into(first, memoryview(row).cast("B"))
        assert np.array_equal(row[0], array.reshape(12, 5, 6)[first])


@pytest.mark.parametrize("memory_bytes", [1000, 100_000, 10**9])
@pytest.mark.parametrize("axes", ORDERS)
def test_a_fortran_grid_in_windows_and_through_a_spill_file(tmp_path, axes, memory_bytes):
    array = np.asfortranarray(np.arange(6 * 7 * 20 * 24, dtype="u4").reshape(6, 7, 20, 24))
    np.save(tmp_path / "grid.npy", array)
    resources = Resources(2, memory_bytes, tmp_path)
    with NpyFile(tmp_path / "grid.npy") as file:
        rows = stacked_rows(partial(stored_rows, file.array, resources=resources), array.shape, axes)
        assert np.array_equal(read_in_blocks(rows, [3, 8]), array.reshape(42, 20, 24).transpose(axes))


def test_a_grid_is_never_in_memory_as_a_whole(tmp_path):
    shape = (64, 16, 128, 128)
    with h5py.File(tmp_path / "grid.h5", "w") as file:
        file.create_dataset("grid", shape, "u2", chunks=(1, 16, 128, 128), fillvalue=7)
    with h5py.File(tmp_path / "grid.h5") as file:
        tracemalloc.start()
        rows = stacked_rows(partial(DatasetRows, file["grid"], resources=Resources(2, 2**20)), shape)
        frames = np.empty((6, 128, 128), "u2")
        for first in range(0, 1024, 6):
            part = frames[: 1024 - first]
            rows.read_into(first, memoryview(part).cast("B"))
            assert (part == 7).all()
        rows.finish()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < np.prod(shape) * 2 / 2
