"""Rows of an array whose first canonical axis is not the slowest one in the file.

What fits the memory is held there. What does not is read window by window, where the file has long segments of each
window, or else once, in order, through a spill file, in which the pieces of one row are near each other:

    file, by slabs of its outer axes ─→ bands of rows, transposed on every core ─→ spill file ─→ rows, on every core

Seen from the row axis, an array in a file is [outer, row, inner]. A *stripe* is a range of outer indexes, a *group* a
range of rows; the spill file holds group after group, in each stripe after stripe, in each [row, outer, inner].
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from ptychoproduct.streaming.stored_array import _BAND_BYTES, StoredArray, _canonical_rows, _ranges, _turned
from ptychoproduct.system.byteorder import to_native
from ptychoproduct.system.resources import Resources
from ptychoproduct_native import ChunkBuffer, gather

_VERIFY_BYTES = 1024**2
_CACHE_LINE_BYTES = 64


class TransposedRows:
    """Rows that come one after the other, each with its other axes in another order.

    Parameters
    ----------
    stored : StoredArray
        Its rows are its slowest axis.
    """

    random_access = False

    def __init__(self, stored: StoredArray) -> None:
        self.shape = stored.canonical_shape
        self.dtype = stored.dtype.newbyteorder("=")
        self._stored = stored

    def windows(self, multiple: int) -> Iterator[range]:  # noqa: ARG002 - there is one
        """Give the only window: all rows."""
        yield range(self.shape[0])

    def read_into(self, first: int, view: memoryview) -> None:  # noqa: ARG002 - rows come in order
        """Fill a view of bytes with whole rows, from row `first` on."""
        scratch = ChunkBuffer(len(view))
        with memoryview(scratch) as in_file_order:
            self._stored.stream.readinto(in_file_order)
            gather(_canonical_rows(in_file_order, self._stored), view)
        to_native(view, self._stored.dtype)

    def finish(self) -> None:
        """Verify the checksum."""
        self._stored.stream.finish()


class WindowedRows:
    """Rows of an array, brought to the front in memory: all at once, or window by window.

    Parameters
    ----------
    stored : StoredArray
        With `segments`, unless all of it fits the memory.
    resources : Resources
    """

    random_access = True

    def __init__(self, stored: StoredArray, resources: Resources) -> None:
        self.shape = stored.canonical_shape
        self.dtype = stored.dtype.newbyteorder("=")
        self._stored = stored
        self._rows = window_rows(stored, resources)
        self._threads = resources.threads
        self._on_progress = resources.reorder_progress
        self._window = range(0)
        self._data = np.empty(0, np.uint8)

    def windows(self, multiple: int) -> Iterator[range]:
        """Give each window once it is in memory."""
        stored = self._stored
        step = stored.rows if self._rows == stored.rows else max(1, self._rows // multiple) * multiple
        self._data = np.empty(min(step, stored.rows) * stored.row_bytes, np.uint8)
        with ThreadPoolExecutor(self._threads + 1, thread_name_prefix="window") as pool:
            if step >= stored.rows:
                self._window = range(stored.rows)
                self._fill_in_order(pool)
                yield self._window
                return
            # Beside the windows, which are read in another order.
            verified = pool.submit(_verify, stored)
            for self._window in _ranges(stored.rows, step):
                self._fill_from_segments(pool)
                yield self._window
            verified.result()

    def read_into(self, first: int, view: memoryview) -> None:
        """Fill a view of bytes with whole rows of the window, from row `first` on."""
        start = (first - self._window.start) * self._stored.row_bytes
        gather(_canonical_rows(memoryview(self._data)[start : start + len(view)], self._stored), view)
        to_native(view, self._stored.dtype)

    def finish(self) -> None:
        """Give the memory back; checksums were verified with the last window."""
        self._data = np.empty(0, np.uint8)

    def _fill_in_order(self, pool: ThreadPoolExecutor) -> None:
        """Fill the window from the stream, which one thread reads."""
        pending: deque[Future[None]] = deque()
        for outer in self._blocks():
            block = self._new_block(outer)
            with memoryview(block) as view:
                self._stored.stream.readinto(view)
            self._on_progress(len(block))
            pending.append(pool.submit(self._place, block, outer))
            if len(pending) > self._threads:
                pending.popleft().result()
        for future in pending:
            future.result()
        self._stored.stream.finish()

    def _fill_from_segments(self, pool: ThreadPoolExecutor) -> None:
        """Fill the window from its own parts of the file, on all cores."""
        for future in [pool.submit(self._read_block, outer) for outer in self._blocks()]:
            self._on_progress(future.result())

    def _read_block(self, outer: range) -> int:
        """Read a block to its place; return its size."""
        stored = self._stored
        assert stored.segments is not None
        block = self._new_block(outer)
        stride = stored.rows * stored.inner_bytes
        first = outer.start * stride + self._window.start * stored.inner_bytes
        with memoryview(block) as view:
            stored.segments(first, stride, len(self._window) * stored.inner_bytes, view)
        nbytes = len(block)
        self._place(block, outer)
        return nbytes

    def _blocks(self) -> Iterator[range]:
        """Split the outer indexes: blocks fit the cache, and give each row a cache line at least."""
        inner_bytes = self._stored.inner_bytes
        least = -(-_CACHE_LINE_BYTES // inner_bytes)
        return _ranges(self._stored.outer, max(least, _BAND_BYTES // (len(self._window) * inner_bytes)))

    def _new_block(self, outer: range) -> ChunkBuffer:
        return ChunkBuffer(len(outer) * len(self._window) * self._stored.inner_bytes)

    def _place(self, block: ChunkBuffer, outer: range) -> None:
        """Turn a block of [outer, row, inner] into [row, outer, inner], and put it into the window."""
        inner_bytes, rows = self._stored.inner_bytes, len(self._window)
        turned = _turned(np.frombuffer(block, np.uint8).reshape(len(outer), rows, inner_bytes))
        window = self._data[: rows * self._stored.row_bytes].reshape(rows, self._stored.outer, inner_bytes)
        window[:, outer.start : outer.stop] = np.frombuffer(turned, np.uint8).reshape(rows, len(outer), inner_bytes)


def window_rows(stored: StoredArray, resources: Resources) -> int:
    """Return how many rows a window has; a quarter of the memory is left for all else."""
    return min(stored.rows, max(1, resources.memory_bytes * 3 // 4 // stored.row_bytes))


def _verify(stored: StoredArray) -> None:
    """Read a stored array from one end to the other for its checksum."""
    scratch = memoryview(bytearray(_VERIFY_BYTES))
    for part in _ranges(stored.nbytes, _VERIFY_BYTES):
        stored.stream.readinto(scratch[: len(part)])
    stored.stream.finish()
