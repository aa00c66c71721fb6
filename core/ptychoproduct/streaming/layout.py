"""Which axes of a stored array are which, and how its bytes are turned so that the rows come first."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.npz.stored_array import StoredArray
from ptychoproduct_native import ChunkBuffer, gather

# What one thread transposes and writes at once: large enough for the disk, small enough for the cache.
BAND_BYTES = 1024**2


@dataclass(frozen=True)
class Layout:
    """Which axes of an array are which, as its bytes lie in the file.

    Parameters
    ----------
    shape : tuple of int
        In file order, slowest axis first.
    dtype : numpy.dtype
        As stored, byte order included.
    axes : tuple of int
        The axes in canonical order, rows first.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    axes: tuple[int, ...]

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
    def row_bytes(self) -> int:
        """Size of a row."""
        return self.outer * self.inner_bytes

    @property
    def has_rows_in_order(self) -> bool:
        """Whether the axes other than the rows are in the file in canonical order."""
        return list(self.axes[1:]) == sorted(self.axes[1:])

    def canonical_rows(self, data: memoryview) -> Array:
        """View rows of [row, outer axes, inner axes] in canonical order."""
        others = [axis for axis in range(len(self.shape)) if axis != self.row_axis]
        shape = [-1, *(self.shape[axis] for axis in others)]
        array = np.frombuffer(data, self.dtype.newbyteorder("=")).reshape(shape)
        return array.transpose([0, *(others.index(axis) + 1 for axis in self.axes[1:])])


def layout_of(array: StoredArray, axes: Sequence[int]) -> Layout:
    """Return the layout of an array whose axes are given in canonical order."""
    return Layout(array.file_shape, array.dtype, tuple(array.file_axes.index(axis) for axis in axes))


def turned(band: Array) -> ChunkBuffer:
    """Turn bytes of [outer, row, inner] into [row, outer, inner]."""
    buffer = ChunkBuffer(band.size)
    # Copies the largest elements that stay together, which is faster by that factor.
    elements = band.view(f"u{math.gcd(band.shape[2], 8)}")
    gather(elements.transpose(1, 0, 2), buffer)
    return buffer


def ranges(stop: int, step: int, start: int = 0) -> Iterator[range]:
    """Split a range into ranges of `step`, the last of which may be shorter."""
    for first in range(start, stop, step):
        yield range(first, min(first + step, stop))
