"""Where rows of an array come from: memory, a member of an NPZ archive, or an NPY file.

A *row* is everything under one index of the first canonical axis: a diffraction frame, for a stack in NHW order. Every
source gives rows in C order and native byte order, whatever the storage.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from ptychoproduct.npz.npy import Member, MemberFile
from ptychoproduct.streaming.reordering import TransposedRows, WindowedRows, window_rows
from ptychoproduct.streaming.spilling import SpilledRows
from ptychoproduct.streaming.stored_array import StoredArray
from ptychoproduct.system.byteorder import to_native
from ptychoproduct.system.resources import Resources
from ptychoproduct_native import gather


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

    def windows(self, multiple: int) -> Iterator[range]:
        """Give ranges of rows, in order, which start at multiples of a number.

        Rows can be read while their window is the last one given. Most sources have a single window.
        """

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

    def windows(self, multiple: int) -> Iterator[range]:  # noqa: ARG002 - there is one
        """See `RowSource`."""
        yield range(self.shape[0])

    def read_into(self, first: int, view: memoryview) -> None:
        """See `RowSource`."""
        rows = len(view) // _row_bytes(self.shape, self.dtype)
        gather(self._array[first : first + rows], view)
        to_native(view, self._array.dtype)

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

    def windows(self, multiple: int) -> Iterator[range]:  # noqa: ARG002 - there is one
        """See `RowSource`."""
        yield range(self.shape[0])

    def read_into(self, first: int, view: memoryview) -> None:
        """See `RowSource`."""
        self._parts.read_into(first * self._row_bytes, view)
        to_native(view, self._stored_dtype)

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

    def windows(self, multiple: int) -> Iterator[range]:  # noqa: ARG002 - there is one
        """See `RowSource`."""
        yield range(self.shape[0])

    def read_into(self, first: int, view: memoryview) -> None:  # noqa: ARG002 - rows come in order
        """See `RowSource`."""
        self._stream.readinto(view)
        to_native(view, self._stored_dtype)

    def finish(self) -> None:
        """See `RowSource`."""
        self._stream.finish()


def member_rows(
    archive: MemberFile, member: Member, axes: Sequence[int] | None = None, resources: Resources | None = None
) -> RowSource:
    """Open a member as rows in canonical axis order.

    Parameters
    ----------
    archive : MemberFile
    member : Member
        At least one dimension, at least one element.
    axes : sequence of int, optional
        The array's axes in canonical order; as they are by default.
    resources : Resources, optional
        What may be used where the axes have to be reordered.

    Raises
    ------
    OutputError
        The axes have to be reordered through a spill file, which cannot be written.
    """
    last = len(member.shape) - 1
    axes = range(last + 1) if axes is None else axes
    file_axes = tuple(last - axis if member.fortran_order else axis for axis in axes)
    if file_axes != tuple(range(last + 1)):
        stored = StoredArray(
            archive.stream(member), member.stored_shape, member.dtype, file_axes, archive.segment_reader(member)
        )
        return reordered_rows(stored, resources or Resources())
    if archive.is_stored(member):
        return StoredRows(archive, member)
    return InflatedRows(archive, member)


def stored_rows(archive: MemberFile, member: Member) -> RowSource:
    """Open a member as rows in the order in which it lies, whichever axes these are."""
    return member_rows(archive, member, range(len(member.shape))[:: -1 if member.fortran_order else 1])


def _row_bytes(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    return math.prod(shape[1:]) * dtype.itemsize


# Segments that are read in place, window by window; shorter ones are not worth a seek each.
_LEAST_SEGMENT_BYTES = 8 * 1024


def reordered_rows(stored: StoredArray, resources: Resources) -> TransposedRows | WindowedRows | SpilledRows:
    """Bring an array's rows into canonical order: as they come, from memory, or through a spill file.

    Raises
    ------
    OutputError
        The spill file cannot be written.
    """
    if stored.row_axis == 0:
        return TransposedRows(stored)
    window = window_rows(stored, resources)
    has_long_segments = stored.segments is not None and window * stored.inner_bytes >= _LEAST_SEGMENT_BYTES
    if window == stored.rows or has_long_segments:
        return WindowedRows(stored, resources)
    return SpilledRows(stored, resources)
