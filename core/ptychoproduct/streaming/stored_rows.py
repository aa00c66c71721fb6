"""Rows of an array in an NPZ archive or NPY file."""

from __future__ import annotations

from collections.abc import Sequence

from ptychoproduct.aliases import Array
from ptychoproduct.npz.stored_array import StoredArray
from ptychoproduct.streaming.layout import Layout, layout_of
from ptychoproduct.streaming.reordering import WindowedRows, window_rows
from ptychoproduct.streaming.sources import Access, RowSource, row_bytes_of
from ptychoproduct.streaming.spilling import SpilledRows
from ptychoproduct.system.byteorder import to_native
from ptychoproduct.system.resources import Resources
from ptychoproduct_native import ChunkBuffer, gather

# Segments that are read in place, window by window; shorter ones are not worth a seek each.
_LEAST_SEGMENT_BYTES = 8 * 1024


class StoredRows:
    """Rows that lie one after the other in a file; see `RowSource`.

    Parameters
    ----------
    array : StoredArray
    layout : Layout
        Its rows are the slowest axis.

    Attributes
    ----------
    has_plain_rows : bool
        Whether the bytes of a row in the file are those of its elements in C order, little-endian, and the file has a
        checksum: then one look at them gives those of the rows, too.
    """

    def __init__(self, array: StoredArray, layout: Layout) -> None:
        self.shape = layout.canonical_shape
        self.dtype = array.dtype.newbyteorder("=")
        self.access = Access.IN_ORDER if array.is_deflated else Access.ANY_THREAD_ONCE
        self._layout = layout
        self._row_bytes = layout.row_bytes
        self._has_rows_in_order = layout.has_rows_in_order
        self._reading = array.reading()
        is_little_endian = array.dtype == array.dtype.newbyteorder("<")
        self.has_plain_rows = self._has_rows_in_order and is_little_endian and array.crc32 is not None

    def read_into(self, first: int, view: memoryview, checksums: Array | None = None) -> None:
        """See `RowSource`; plain rows fill an array with their checksums, [n], uint32, where one is given."""
        if self._has_rows_in_order:
            self._reading.read_into(first * self._row_bytes, view, checksums)
        else:
            with memoryview(ChunkBuffer(len(view))) as in_file_order:
                self._reading.read_into(first * self._row_bytes, in_file_order)
                gather(self._layout.canonical_rows(in_file_order), view)
        to_native(view, self._layout.dtype)

    def finish(self) -> None:
        """See `RowSource`."""
        self._reading.finish()

    def take_checksums(self) -> dict[int, tuple[int, int]]:
        """Return the checksums of what was read since the last call, for `add_checksums` in another process."""
        return self._reading.take_checksums()

    def add_checksums(self, checksums: dict[int, tuple[int, int]]) -> None:
        """Take rows as read that another process has read."""
        self._reading.add_checksums(checksums)


class ChecksummedRows:
    """Plain rows that fill an array with their checksums as they are read; see `RowSource`.

    Parameters
    ----------
    rows : StoredRows
        With plain rows.
    checksums : array, [N], uint32
    start : int
        The row of the first checksum.
    """

    def __init__(self, rows: StoredRows, checksums: Array, start: int = 0) -> None:
        self.shape = rows.shape
        self.dtype = rows.dtype
        self.access = rows.access
        self._rows = rows
        self._checksums = checksums
        self._start = start

    def read_into(self, first: int, view: memoryview) -> None:
        """See `RowSource`."""
        index = first - self._start
        count = len(view) // row_bytes_of(self)
        self._rows.read_into(first, view, self._checksums[index : index + count])

    def finish(self) -> None:
        """See `RowSource`."""
        self._rows.finish()


def stored_rows(
    array: StoredArray, axes: Sequence[int] | None = None, resources: Resources | None = None
) -> StoredRows | WindowedRows | SpilledRows:
    """Open an array as rows in canonical order: as they lie, or reordered in memory or through a spill file.

    Parameters
    ----------
    array : StoredArray
        At least one dimension, at least one element.
    axes : sequence of int, optional
        The array's axes in canonical order; as they are by default.
    resources : Resources, optional
        What may be used where the axes have to be reordered.

    Raises
    ------
    OutputError
        The spill file cannot be written.
    """
    layout = layout_of(array, range(len(array.shape)) if axes is None else axes)
    if layout.row_axis == 0:
        return StoredRows(array, layout)
    resources = resources or Resources()
    window = window_rows(layout, resources)
    has_long_segments = not array.is_deflated and window * layout.inner_bytes >= _LEAST_SEGMENT_BYTES
    if window == layout.rows or has_long_segments:
        return WindowedRows(array, layout, resources)
    return SpilledRows(array, layout, resources)


def rows_as_stored(array: StoredArray) -> RowSource:
    """Open an array as rows in the order in which it is stored, on any axis."""
    return stored_rows(array, array.file_axes)
