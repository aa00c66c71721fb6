"""Rows of an array whose first canonical axis is not the slowest one in the file.

What fits the memory is held there. What does not is read window by window, where the file has long segments of each
window, or else once, in order, through a spill file, in which the pieces of one row are near each other:

    file, by slabs of its outer axes ─→ bands of rows, transposed on every core ─→ spill file ─→ rows, on every core

Seen from the row axis, an array in a file is [outer, row, inner]. A *stripe* is a range of outer indexes, a *group* a
range of rows; the spill file holds group after group, in each stripe after stripe, in each [row, outer, inner].
"""

from __future__ import annotations

import math
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ptychoproduct.atomic import writing_errors
from ptychoproduct.npy import ByteStream, SegmentReader
from ptychoproduct.spillfile import SpillFile
from ptychoproduct_native import ChunkBuffer, byteswap, gather

Array = np.ndarray[Any, Any]

DEFAULT_MEMORY_BYTES = 1024**3
# Segments that are read in place, window by window; shorter ones are not worth a seek each.
_LEAST_SEGMENT_BYTES = 8 * 1024
_VERIFY_BYTES = 1024**2
# What one thread transposes and writes at once: large enough for the disk, small enough for the cache.
_BAND_BYTES = 1024**2
_CACHE_LINE_BYTES = 64
# Of a slab that is read at once; progress is told in between.
_READ_BYTES = 16 * 1024**2


@dataclass(frozen=True)
class Reordering:
    """What may be used to reorder axes.

    Parameters
    ----------
    memory_bytes : int
        What may be held at once; an array that fits is held whole.
    folder : Path
        Where a spill file may be made. It has no name there, and vanishes with the process.
    threads : int
        Cores to transpose on.
    progress : callable, optional
        Called with a number of bytes whenever so many have been read for it, on the thread that asks for the rows.
    """

    memory_bytes: int = DEFAULT_MEMORY_BYTES
    folder: Path = field(default_factory=lambda: Path(tempfile.gettempdir()))
    threads: int = 1
    progress: Callable[[int], None] | None = None

    def on_progress(self, nbytes: int) -> None:
        """Tell that bytes have been read."""
        if self.progress is not None:
            self.progress(nbytes)


@dataclass(frozen=True)
class StoredArray:
    """An array as it lies in a file, and which of its axes are which.

    Parameters
    ----------
    stream : ByteStream
        Its bytes.
    shape : tuple of int
        In file order, slowest axis first.
    dtype : numpy.dtype
        As stored, byte order included.
    axes : tuple of int
        The axes in canonical order, rows first.
    segments : SegmentReader or None
        Reads strided parts, where the bytes lie in the file as they are.
    """

    stream: ByteStream
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    axes: tuple[int, ...]
    segments: SegmentReader | None = None

    @property
    def canonical_shape(self) -> tuple[int, ...]:
        """The shape, rows first."""
        return tuple(self.shape[axis] for axis in self.axes)

    @property
    def row_axis(self) -> int:
        """Where the rows are in the file."""
        return self.axes[0]

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.shape[self.row_axis]

    @property
    def outer(self) -> int:
        """Elements along the axes slower than the rows."""
        return math.prod(self.shape[: self.row_axis])

    @property
    def inner_bytes(self) -> int:
        """Bytes along the axes faster than the rows."""
        return math.prod(self.shape[self.row_axis + 1 :]) * self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Size of the array."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def row_bytes(self) -> int:
        """Size of a row."""
        return self.outer * self.inner_bytes


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
    reordering : Reordering
    """

    random_access = True

    def __init__(self, stored: StoredArray, reordering: Reordering) -> None:
        self.shape = stored.canonical_shape
        self.dtype = stored.dtype.newbyteorder("=")
        self._stored = stored
        self._rows = window_rows(stored, reordering)
        self._threads = reordering.threads
        self._on_progress = reordering.on_progress
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


class SpilledRows:
    """Rows of an array that went through a spill file.

    Parameters
    ----------
    stored : StoredArray
    reordering : Reordering

    Raises
    ------
    OutputError
        The spill file cannot be written.
    """

    random_access = True

    def __init__(self, stored: StoredArray, reordering: Reordering) -> None:
        self.shape = stored.canonical_shape
        self.dtype = stored.dtype.newbyteorder("=")
        self._stored = stored
        # One slab is read while the other is transposed; a quarter is left for all else.
        slab_bytes = max(1, reordering.memory_bytes * 3 // 8)
        self._stripes = list(_ranges(stored.outer, max(1, slab_bytes // (stored.rows * stored.inner_bytes))))
        band_bytes = min(_BAND_BYTES, reordering.memory_bytes // 4)
        self._group_rows = max(1, band_bytes // (len(self._stripes[0]) * stored.inner_bytes))
        with writing_errors(reordering.folder):
            self._file = SpillFile(reordering.folder)
            try:
                self._spill(slab_bytes, reordering)
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

    def _spill(self, slab_bytes: int, reordering: Reordering) -> None:
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
        with ThreadPoolExecutor(reordering.threads, thread_name_prefix="spill") as pool:
            for stripe in self._stripes:
                for rows in _ranges(stored.rows, slab_rows):
                    for future in written[turn]:
                        future.result()
                    nbytes = len(stripe) * len(rows) * stored.inner_bytes
                    slab = slabs[turn][:nbytes]
                    for part in _ranges(nbytes, _READ_BYTES):
                        stored.stream.readinto(memoryview(slab)[part.start : part.stop])
                        reordering.on_progress(len(part))
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


def reordered_rows(stored: StoredArray, reordering: Reordering) -> TransposedRows | WindowedRows | SpilledRows:
    """Bring an array's rows into canonical order: as they come, from memory, or through a spill file.

    Raises
    ------
    OutputError
        The spill file cannot be written.
    """
    if stored.row_axis == 0:
        return TransposedRows(stored)
    window = window_rows(stored, reordering)
    has_long_segments = stored.segments is not None and window * stored.inner_bytes >= _LEAST_SEGMENT_BYTES
    if window == stored.rows or has_long_segments:
        return WindowedRows(stored, reordering)
    return SpilledRows(stored, reordering)


def window_rows(stored: StoredArray, reordering: Reordering) -> int:
    """Return how many rows a window has; a quarter of the memory is left for all else."""
    return min(stored.rows, max(1, reordering.memory_bytes * 3 // 4 // stored.row_bytes))


def _turned(band: Array) -> ChunkBuffer:
    """Turn bytes of [outer, row, inner] into [row, outer, inner]."""
    buffer = ChunkBuffer(band.size)
    # In the largest elements that stay together: the copy is quicker by that factor.
    elements = band.view(f"u{math.gcd(band.shape[2], 8)}")
    gather(elements.transpose(1, 0, 2), buffer)
    return buffer


def _verify(stored: StoredArray) -> None:
    """Read a stored array from one end to the other for its checksum."""
    scratch = memoryview(bytearray(_VERIFY_BYTES))
    for part in _ranges(stored.nbytes, _VERIFY_BYTES):
        stored.stream.readinto(scratch[: len(part)])
    stored.stream.finish()


def _canonical_rows(data: memoryview, stored: StoredArray) -> Array:
    """View rows of [row, outer axes, inner axes] in canonical order."""
    others = [axis for axis in range(len(stored.shape)) if axis != stored.row_axis]
    array = np.frombuffer(data, stored.dtype.newbyteorder("=")).reshape([-1, *(stored.shape[axis] for axis in others)])
    return array.transpose([0, *(others.index(axis) + 1 for axis in stored.axes[1:])])


def _ranges(stop: int, step: int, start: int = 0) -> Iterator[range]:
    """Split a range into ranges of `step`, the last of which may be shorter."""
    for first in range(start, stop, step):
        yield range(first, min(first + step, stop))


def to_native(view: memoryview, stored: np.dtype[Any]) -> None:
    """Turn bytes of a stored type into native byte order, in place."""
    if not stored.isnative:
        byteswap(view, stored.itemsize // (2 if stored.kind == "c" else 1))
