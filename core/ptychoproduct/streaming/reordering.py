"""Rows of an array whose first canonical axis is not the slowest one in the file.

What fits the memory is held there. What does not is read window by window, where the file has long segments of each
window, or else once, in order, through a spill file, in which the pieces of one row are near each other:

    file, by slabs of its outer axes ─→ bands of rows, transposed on every core ─→ spill file ─→ rows, on every core

Seen from the row axis, an array in a file is [outer, row, inner]. A *stripe* is a range of outer indexes, a *group* a
range of rows; the spill file holds group after group, in each stripe after stripe, in each [row, outer, inner].
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from ptychoproduct.npz.stored_array import StoredArray
from ptychoproduct.streaming.layout import BAND_BYTES, Layout, ranges, turned
from ptychoproduct.streaming.sources import Access
from ptychoproduct.system.byteorder import to_native
from ptychoproduct.system.resources import Resources
from ptychoproduct.system.workers import Workers
from ptychoproduct_native import ChunkBuffer, gather

_CACHE_LINE_BYTES = 64


class WindowedRows:
    """Rows of an array, brought to the front in memory: all at once, or window by window; see `RowSource`.

    Parameters
    ----------
    array : StoredArray
        Not deflated, unless all of it fits the memory.
    layout : Layout
    resources : Resources
    """

    access = Access.ANY_THREAD

    def __init__(self, array: StoredArray, layout: Layout, resources: Resources) -> None:
        self.shape = layout.canonical_shape
        self.dtype = array.dtype.newbyteorder("=")
        self._array = array
        self._layout = layout
        self._resources = resources
        self._window = range(0)
        self._data = np.empty(0, np.uint8)

    def windows(self, multiple: int) -> Iterator[range]:
        """See `WindowedSource`."""
        layout = self._layout
        step = window_rows(layout, self._resources)
        if step < layout.rows:
            step = min(layout.rows, max(1, step // multiple) * multiple)
        self._data = np.empty(step * layout.row_bytes, np.uint8)
        with Workers(self._resources.threads + 1, "window") as workers:
            if step == layout.rows:
                self._window = range(layout.rows)
                self._fill_in_order(workers)
                yield self._window
                return
            # At the same time: checksums need the bytes in order, but windows are read in another order.
            verified = workers.submit(self._array.verify)
            for self._window in ranges(layout.rows, step):
                self._fill_from_segments(workers)
                yield self._window
            verified.result()

    def read_into(self, first: int, view: memoryview) -> None:
        """See `RowSource`; only rows of the latest window can be read."""
        start = (first - self._window.start) * self._layout.row_bytes
        gather(self._layout.canonical_rows(memoryview(self._data)[start : start + len(view)]), view)
        to_native(view, self._layout.dtype)

    def finish(self) -> None:
        """Free the memory; checksums were verified with the last window."""
        self._data = np.empty(0, np.uint8)

    def _fill_in_order(self, workers: Workers) -> None:
        """Fill the window with all rows, which one thread reads in order."""
        reading = self._array.reading()

        def calls() -> Iterator[Callable[[], int]]:
            done = 0
            for outer in self._blocks():
                block = self._new_block(outer)
                with memoryview(block) as view:
                    reading.read_into(done, view)
                done += len(block)
                yield partial(self._place, block, outer)

        for future in workers.in_order(calls(), most_waiting=0):
            self._resources.reorder_progress(future.result())
        reading.finish()

    def _fill_from_segments(self, workers: Workers) -> None:
        """Fill the window from its own parts of the file, on all cores."""
        for future in workers.in_order(partial(self._read_block, outer) for outer in self._blocks()):
            self._resources.reorder_progress(future.result())

    def _read_block(self, outer: range) -> int:
        """Read a block to its place; return its size."""
        inner_bytes = self._layout.inner_bytes
        block = self._new_block(outer)
        stride = self._layout.rows * inner_bytes
        first = outer.start * stride + self._window.start * inner_bytes
        with memoryview(block) as view:
            self._array.read_segments(first, stride, len(self._window) * inner_bytes, view)
        return self._place(block, outer)

    def _blocks(self) -> Iterator[range]:
        """Split the outer indexes: blocks fit the cache, and give each row a cache line at least."""
        inner_bytes = self._layout.inner_bytes
        least = -(-_CACHE_LINE_BYTES // inner_bytes)
        return ranges(self._layout.outer, max(least, BAND_BYTES // (len(self._window) * inner_bytes)))

    def _new_block(self, outer: range) -> ChunkBuffer:
        return ChunkBuffer(len(outer) * len(self._window) * self._layout.inner_bytes)

    def _place(self, block: ChunkBuffer, outer: range) -> int:
        """Turn a block of [outer, row, inner] into [row, outer, inner], put it into the window, and return its size."""
        inner_bytes, rows = self._layout.inner_bytes, len(self._window)
        in_rows = turned(np.frombuffer(block, np.uint8).reshape(len(outer), rows, inner_bytes))
        window = self._data[: rows * self._layout.row_bytes].reshape(rows, self._layout.outer, inner_bytes)
        window[:, outer.start : outer.stop] = np.frombuffer(in_rows, np.uint8).reshape(rows, len(outer), inner_bytes)
        return len(block)


def window_rows(layout: Layout, resources: Resources) -> int:
    """Return how many rows a window has; a quarter of the memory is left for all else."""
    return min(layout.rows, max(1, resources.memory_bytes * 3 // 4 // layout.row_bytes))
