"""Where rows of an array come from: memory, a member of an NPZ archive, or an NPY file.

A *row* is everything under one index of the first canonical axis: a diffraction frame, for a stack in NHW order. Every
source gives rows in C order and native byte order, whatever the storage.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from ptychoproduct.npy import Member, MemberFile
from ptychoproduct_native import byteswap, gather

DEFAULT_MEMORY_BYTES = 1024**3
_SKIP_BYTES = 1024 * 1024


class RowSource(Protocol):
    """Rows of an array, read into memory of the caller's."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Canonical shape, rows first."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type in native byte order."""

    @property
    def random_access(self) -> bool:
        """Whether `read_into` may be called from many threads, in any order; otherwise in order, from one."""

    def read_into(self, first: int, view: memoryview) -> None:
        """Fill a view of bytes with whole rows, from row `first` on."""

    def finish(self) -> None:
        """Verify checksums; to be called when every row has been read once."""


class ArrayRows:
    """Rows of an array in memory.

    Parameters
    ----------
    array : numpy.ndarray
        Any strides and byte order.
    axes : sequence of int
        The array's axes in canonical order.
    """

    random_access = True

    def __init__(self, array: np.ndarray[Any, Any], axes: Sequence[int]) -> None:
        self._array = array.transpose(axes)
        self.shape: tuple[int, ...] = self._array.shape
        self.dtype = array.dtype.newbyteorder("=")

    def read_into(self, first: int, view: memoryview) -> None:
        """See `RowSource`."""
        rows = len(view) // _row_bytes(self.shape, self.dtype)
        gather(self._array[first : first + rows], view)
        _to_native(view, self._array.dtype)

    def finish(self) -> None:
        """See `RowSource`; memory has no checksum."""


class StoredRows:
    """Rows that lie one after the other in a stored member."""

    random_access = True

    def __init__(self, archive: MemberFile, member: Member) -> None:
        self.shape = member.stored_shape
        self.dtype = member.dtype.newbyteorder("=")
        self._stored_dtype = member.dtype
        self._parts = archive.parts(member)
        self._row_bytes = _row_bytes(self.shape, self.dtype)

    def read_into(self, first: int, view: memoryview) -> None:
        """See `RowSource`."""
        self._parts.read_into(first * self._row_bytes, view)
        _to_native(view, self._stored_dtype)

    def finish(self) -> None:
        """See `RowSource`."""
        self._parts.finish()


class InflatedRows:
    """Rows that come one after the other out of a deflated member."""

    random_access = False

    def __init__(self, archive: MemberFile, member: Member) -> None:
        self.shape = member.stored_shape
        self.dtype = member.dtype.newbyteorder("=")
        self._stored_dtype = member.dtype
        self._stream = archive.stream(member)

    def read_into(self, first: int, view: memoryview) -> None:  # noqa: ARG002 - rows come in order
        """See `RowSource`."""
        self._stream.readinto(view)
        _to_native(view, self._stored_dtype)

    def finish(self) -> None:
        """See `RowSource`."""
        self._stream.finish()


class ReorderedRows:
    """Rows of a member whose canonical first axis is not the slowest one in the file.

    The member is passed over as often as its size exceeds the memory; each pass collects a window of rows.

    Parameters
    ----------
    archive : MemberFile
    member : Member
    axes : sequence of int
        The array's axes in canonical order.
    memory_bytes : int
        Size of the window; at least one row is held.
    """

    random_access = False

    def __init__(self, archive: MemberFile, member: Member, axes: Sequence[int], memory_bytes: int) -> None:
        self.shape = tuple(member.shape[axis] for axis in axes)
        self.dtype = member.dtype.newbyteorder("=")
        self._archive = archive
        self._member = member
        self._file_axes = _file_axes(member, axes)
        self._row_bytes = _row_bytes(self.shape, self.dtype)
        self._window_rows = min(self.shape[0], max(1, memory_bytes // self._row_bytes))
        self._window = np.empty(0, np.uint8)
        self._window_range = range(0)

    def read_into(self, first: int, view: memoryview) -> None:
        """See `RowSource`."""
        rows = len(view) // self._row_bytes
        filled = 0
        while filled < rows:
            if first + filled not in self._window_range:
                self._load_window(first + filled)
            start = first + filled - self._window_range.start
            count = min(rows - filled, len(self._window_range) - start)
            part = view[filled * self._row_bytes : (filled + count) * self._row_bytes]
            gather(self._window_array()[start : start + count], part)
            filled += count
        _to_native(view, self._member.dtype)

    def finish(self) -> None:
        """See `RowSource`; each pass has verified the checksum."""

    def _load_window(self, first: int) -> None:
        """Pass over the member once, and keep what belongs to the rows from `first` on."""
        stored = self._member.stored_shape
        row_axis = self._file_axes[0]
        outer = math.prod(stored[:row_axis])
        inner_bytes = math.prod(stored[row_axis + 1 :]) * self.dtype.itemsize
        stop = min(first + self._window_rows, self.shape[0])
        kept_bytes = (stop - first) * inner_bytes
        if len(self._window) < outer * kept_bytes:
            self._window = np.empty(outer * kept_bytes, np.uint8)
        window = memoryview(self._window)
        segments = _SegmentReader(self._archive, self._member)
        for index in range(outer):
            segments.skip(first * inner_bytes)
            segments.read(window[index * kept_bytes : (index + 1) * kept_bytes])
            segments.skip((self.shape[0] - stop) * inner_bytes)
        segments.finish()
        self._window_range = range(first, stop)

    def _window_array(self) -> np.ndarray[Any, Any]:
        shape = list(self._member.stored_shape)
        shape[self._file_axes[0]] = len(self._window_range)
        nbytes = math.prod(shape) * self.dtype.itemsize
        return self._window[:nbytes].view(self.dtype).reshape(shape).transpose(self._file_axes)


class _SegmentReader:
    """Reads or skips a member's bytes in order; what is skipped still counts for the checksum."""

    def __init__(self, archive: MemberFile, member: Member) -> None:
        self._stream = archive.stream(member)
        self._scratch = memoryview(bytearray(_SKIP_BYTES))

    def read(self, view: memoryview) -> None:
        self._stream.readinto(view)

    def skip(self, nbytes: int) -> None:
        while nbytes:
            step = min(nbytes, _SKIP_BYTES)
            self._stream.readinto(self._scratch[:step])
            nbytes -= step

    def finish(self) -> None:
        self._stream.finish()


def member_rows(
    archive: MemberFile,
    member: Member,
    axes: Sequence[int] | None = None,
    memory_bytes: int = DEFAULT_MEMORY_BYTES,
) -> RowSource:
    """Open a member as rows in canonical axis order.

    Parameters
    ----------
    archive : MemberFile
    member : Member
        At least one dimension, at least one element.
    axes : sequence of int, optional
        The array's axes in canonical order; as they are by default.
    memory_bytes : int
        What may be held at once where the axes have to be reordered.
    """
    axes = tuple(range(len(member.shape))) if axes is None else tuple(axes)
    if _file_axes(member, axes) != tuple(range(len(axes))):
        return ReorderedRows(archive, member, axes, memory_bytes)
    if archive.is_stored(member):
        return StoredRows(archive, member)
    return InflatedRows(archive, member)


def _file_axes(member: Member, axes: Sequence[int]) -> tuple[int, ...]:
    """Return where the canonical axes are in the file, slowest axis 0."""
    last = len(member.shape) - 1
    return tuple(last - axis if member.fortran_order else axis for axis in axes)


def _row_bytes(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    return math.prod(shape[1:]) * dtype.itemsize


def _to_native(view: memoryview, stored: np.dtype[Any]) -> None:
    if not stored.isnative:
        byteswap(view, stored.itemsize // (2 if stored.kind == "c" else 1))
