"""Rows that go through a spill file, because their axes have to be reordered and do not fit the memory."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.streaming.stored_array import _BAND_BYTES, StoredArray, _canonical_rows, _ranges, _turned
from ptychoproduct.system.atomic import writing_errors
from ptychoproduct.system.byteorder import to_native
from ptychoproduct.system.files import SpillFile
from ptychoproduct.system.resources import Resources
from ptychoproduct_native import ChunkBuffer, gather

# Of a slab that is read at once; progress is told in between.
_READ_BYTES = 16 * 1024**2


class SpilledRows:
    """Rows of an array that went through a spill file.

    Parameters
    ----------
    stored : StoredArray
    resources : Resources

    Raises
    ------
    OutputError
        The spill file cannot be written.
    """

    random_access = True

    def __init__(self, stored: StoredArray, resources: Resources) -> None:
        self.shape = stored.canonical_shape
        self.dtype = stored.dtype.newbyteorder("=")
        self._stored = stored
        # One slab is read while the other is transposed; a quarter is left for all else.
        slab_bytes = max(1, resources.memory_bytes * 3 // 8)
        self._stripes = list(_ranges(stored.outer, max(1, slab_bytes // (stored.rows * stored.inner_bytes))))
        band_bytes = min(_BAND_BYTES, resources.memory_bytes // 4)
        self._group_rows = max(1, band_bytes // (len(self._stripes[0]) * stored.inner_bytes))
        with writing_errors(resources.folder):
            self._file = SpillFile(resources.folder)
            try:
                self._spill(slab_bytes, resources)
            except BaseException:
                self._file.close()
                raise

    def windows(self, multiple: int) -> Iterator[range]:  # noqa: ARG002 - there is one
        """Give the only window: all rows."""
        yield range(self.shape[0])

    def read_into(self, first: int, view: memoryview) -> None:
        """Fill a view of bytes with whole rows, from row `first` on."""
        rows = len(view) // self._stored.row_bytes
        if self._is_file_order_canonical:
            self._read_rows(first, rows, view)
        else:
            scratch = ChunkBuffer(len(view))
            with memoryview(scratch) as in_file_order:
                self._read_rows(first, rows, in_file_order)
                gather(_canonical_rows(in_file_order, self._stored), view)
        to_native(view, self._stored.dtype)

    def finish(self) -> None:
        """Give the disk's space back; the checksum was verified on reading."""
        self._file.close()

    @property
    def _is_file_order_canonical(self) -> bool:
        """Whether the axes other than the rows are in the file in canonical order."""
        return list(self._stored.axes[1:]) == sorted(self._stored.axes[1:])

    def _spill(self, slab_bytes: int, resources: Resources) -> None:
        """Read the whole array, slab by slab, and write its bands."""
        stored = self._stored
        slab_rows = stored.rows
        if len(self._stripes[0]) == 1:  # then even one outer index may be too much: whole groups of its rows
            slab_rows = max(1, slab_bytes // (stored.inner_bytes * self._group_rows)) * self._group_rows
        slabs = [
            np.empty(len(self._stripes[0]) * min(stored.rows, slab_rows) * stored.inner_bytes, np.uint8) for _ in "ab"
        ]
        written: list[list[Future[None]]] = [[], []]
        turn = 0
        with ThreadPoolExecutor(resources.threads, thread_name_prefix="spill") as pool:
            for stripe in self._stripes:
                for rows in _ranges(stored.rows, slab_rows):
                    for future in written[turn]:
                        future.result()
                    nbytes = len(stripe) * len(rows) * stored.inner_bytes
                    slab = slabs[turn][:nbytes]
                    for part in _ranges(nbytes, _READ_BYTES):
                        stored.stream.readinto(memoryview(slab)[part.start : part.stop])
                        resources.reorder_progress(len(part))
                    array = slab.reshape(len(stripe), len(rows), stored.inner_bytes)
                    written[turn] = [
                        pool.submit(
                            self._write_band, array[:, band.start - rows.start : band.stop - rows.start], stripe, band
                        )
                        for band in _ranges(rows.stop, self._group_rows, rows.start)
                    ]
                    turn = 1 - turn
            for future in (*written[0], *written[1]):
                future.result()
        stored.stream.finish()

    def _write_band(self, band: Array, stripe: range, rows: range) -> None:
        """Transpose [outer, row, inner] to [row, outer, inner], and write it where its group and stripe are."""
        with memoryview(_turned(band)) as data:
            self._file.write(data, self._offset(rows.start, stripe))

    def _offset(self, row: int, stripe: range) -> int:
        """Return where a row's piece of a stripe starts in the spill file."""
        stored = self._stored
        start = row // self._group_rows * self._group_rows
        group_rows = min(self._group_rows, stored.rows - start)
        return (
            start * stored.row_bytes
            + group_rows * stripe.start * stored.inner_bytes
            + (row - start) * len(stripe) * stored.inner_bytes
        )

    def _read_rows(self, first: int, rows: int, view: memoryview) -> None:
        """Collect rows of [outer, inner] from all stripes."""
        inner_bytes, row_bytes = self._stored.inner_bytes, self._stored.row_bytes
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
