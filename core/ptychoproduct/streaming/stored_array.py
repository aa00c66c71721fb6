"""An array as it lies in a file, and which of its axes are which."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.npz.npy import ByteStream, SegmentReader
from ptychoproduct_native import ChunkBuffer, gather

# What one thread transposes and writes at once: large enough for the disk, small enough for the cache.
_BAND_BYTES = 1024**2


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


def _turned(band: Array) -> ChunkBuffer:
    """Turn bytes of [outer, row, inner] into [row, outer, inner]."""
    buffer = ChunkBuffer(band.size)
    # In the largest elements that stay together: the copy is quicker by that factor.
    elements = band.view(f"u{math.gcd(band.shape[2], 8)}")
    gather(elements.transpose(1, 0, 2), buffer)
    return buffer


def _canonical_rows(data: memoryview, stored: StoredArray) -> Array:
    """View rows of [row, outer axes, inner axes] in canonical order."""
    others = [axis for axis in range(len(stored.shape)) if axis != stored.row_axis]
    array = np.frombuffer(data, stored.dtype.newbyteorder("=")).reshape([-1, *(stored.shape[axis] for axis in others)])
    return array.transpose([0, *(others.index(axis) + 1 for axis in stored.axes[1:])])


def _ranges(stop: int, step: int, start: int = 0) -> Iterator[range]:
    """Split a range into ranges of `step`, the last of which may be shorter."""
    for first in range(start, stop, step):
        yield range(first, min(first + step, stop))
