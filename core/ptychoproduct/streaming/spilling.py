"""Rows that go through a spill file, because their axes have to be reordered and they do not fit in memory."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from functools import partial

import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.npz.stored_array import StoredArray
from ptychoproduct.streaming.layout import BAND_BYTES, Layout, ranges, turned
from ptychoproduct.streaming.sources import Access
from ptychoproduct.system.atomic import writing_errors
from ptychoproduct.system.byteorder import to_native
from ptychoproduct.system.files import SpillFile
from ptychoproduct.system.resources import Resources
from ptychoproduct.system.workers import Workers
from ptychoproduct_native import ChunkBuffer, gather

# So much of a slab is read at once; progress is reported in between.
_READ_BYTES = 16 * 1024**2


class SpilledRows:
    """Rows of an array that went through a spill file; see `RowSource`.

    Parameters
    ----------
    array : StoredArray
    layout : Layout
    resources : Resources

    Raises
    ------
    OutputError
        The spill file cannot be written.
    """

    access = Access.ANY_THREAD

    def __init__(self, array: StoredArray, layout: Layout, resources: Resources) -> None:
        self.shape = layout.canonical_shape
        self.dtype = array.dtype.newbyteorder("=")
        self._array = array
        self._layout = layout
        # One slab is read while the other is transposed; a quarter of the memory is left for the rest.
        slab_bytes = max(1, resources.memory_bytes * 3 // 8)
        self._stripes = list(ranges(layout.outer, max(1, slab_bytes // (layout.rows * layout.inner_bytes))))
        band_bytes = min(BAND_BYTES, resources.memory_bytes // 4)
        self._group_rows = max(1, band_bytes // (len(self._stripes[0]) * layout.inner_bytes))
        with writing_errors(resources.folder):
            self._file = SpillFile(resources.folder)
            try:
                self._spill(slab_bytes, resources)
            except BaseException:
                self._file.close()
                raise

    def read_into(self, first: int, view: memoryview) -> None:
        """See `RowSource`."""
        rows = len(view) // self._layout.row_bytes
        if self._layout.has_rows_in_order:
            self._read_rows(first, rows, view)
        else:
            with memoryview(ChunkBuffer(len(view))) as in_file_order:
                self._read_rows(first, rows, in_file_order)
                gather(self._layout.canonical_rows(in_file_order), view)
        to_native(view, self._layout.dtype)

    def finish(self) -> None:
        """Free the disk space; the checksum was verified on reading."""
        self._file.close()

    def _spill(self, slab_bytes: int, resources: Resources) -> None:
        """Read the whole array, slab by slab, and write its bands."""
        layout, reading = self._layout, self._array.reading()
        slab_rows = layout.rows
        if len(self._stripes[0]) == 1:  # even one outer index may be too large: use whole groups of its rows
            slab_rows = max(1, slab_bytes // (layout.inner_bytes * self._group_rows)) * self._group_rows
        nbytes = len(self._stripes[0]) * min(layout.rows, slab_rows) * layout.inner_bytes
        # Each slab, and the writes from it that are not finished.
        slabs: deque[tuple[Array, list[Future[None]]]] = deque((np.empty(nbytes, np.uint8), []) for _ in "ab")
        done = 0
        with Workers(resources.threads, "spill") as workers:
            for stripe, rows in itertools.product(self._stripes, ranges(layout.rows, slab_rows)):
                slab, written = slabs.popleft()
                for future in written:
                    future.result()
                nbytes = len(stripe) * len(rows) * layout.inner_bytes
                for part in ranges(nbytes, _READ_BYTES):
                    reading.read_into(done, memoryview(slab)[part.start : part.stop])
                    done += len(part)
                    resources.reorder_progress(len(part))
                array = slab[:nbytes].reshape(len(stripe), len(rows), layout.inner_bytes)
                written = [
                    workers.submit(
                        partial(
                            self._write_band, array[:, band.start - rows.start : band.stop - rows.start], stripe, band
                        )
                    )
                    for band in ranges(rows.stop, self._group_rows, rows.start)
                ]
                slabs.append((slab, written))
            for _, written in slabs:
                for future in written:
                    future.result()
        reading.finish()

    def _write_band(self, band: Array, stripe: range, rows: range) -> None:
        """Transpose [outer, row, inner] to [row, outer, inner], and write it where its group and stripe are."""
        with memoryview(turned(band)) as data:
            self._file.write(data, self._offset(rows.start, stripe))

    def _offset(self, row: int, stripe: range) -> int:
        """Return where a row's piece of a stripe starts in the spill file."""
        layout = self._layout
        start = row // self._group_rows * self._group_rows
        group_rows = min(self._group_rows, layout.rows - start)
        return (
            start * layout.row_bytes
            + group_rows * stripe.start * layout.inner_bytes
            + (row - start) * len(stripe) * layout.inner_bytes
        )

    def _read_rows(self, first: int, rows: int, view: memoryview) -> None:
        """Collect rows of [outer, inner] from all stripes."""
        inner_bytes, row_bytes = self._layout.inner_bytes, self._layout.row_bytes
        for part in self._parts(range(first, first + rows)):
            for stripe in self._stripes:
                start = (part.start - first) * row_bytes + stripe.start * inner_bytes
                nbytes = len(stripe) * inner_bytes
                pieces = [view[start + i * row_bytes : start + i * row_bytes + nbytes] for i in range(len(part))]
                self._file.read(pieces, self._offset(part.start, stripe))

    def _parts(self, rows: range) -> Iterator[range]:
        """Split rows where their groups end."""
        start = rows.start
        while start < rows.stop:
            stop = min(rows.stop, (start // self._group_rows + 1) * self._group_rows)
            yield range(start, stop)
            start = stop
