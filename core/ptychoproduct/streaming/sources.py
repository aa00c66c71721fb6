"""Where the rows of an array come from.

A *row* is everything under one index of the first canonical axis: a diffraction frame, for a stack in NHW order. Every
source gives rows in C order and native byte order, however they are stored.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from enum import Enum
from typing import Any, Protocol, runtime_checkable

import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.system.byteorder import to_native
from ptychoproduct_native import gather


class Access(Enum):
    """How the rows of a source may be read."""

    ANY_THREAD = "any rows, from many threads at once"
    ANY_THREAD_ONCE = "any rows, from many threads at once, but each row only once"
    ONE_THREAD = "any rows, from one thread"
    IN_ORDER = "from the first row to the last, each once, from one thread"

    @property
    def has_many_threads(self) -> bool:
        """Whether many threads may read at once."""
        return self in (Access.ANY_THREAD, Access.ANY_THREAD_ONCE)

    @property
    def is_repeatable(self) -> bool:
        """Whether rows may be read again."""
        return self in (Access.ANY_THREAD, Access.ONE_THREAD)


class RowSource(Protocol):
    """Rows of an array, read into memory of the caller's. `ProductWriter.write_frames` takes any object like this.

    Attributes
    ----------
    shape : tuple of int
        Canonical shape, rows first: [N, H, W] for frames.
    dtype : numpy.dtype
        Type in native byte order.
    access : Access
        How `read_into` may be called.

    Examples
    --------
    Frames in files of their own:

    >>> class FrameFiles:
    ...     access = Access.ANY_THREAD
    ...
    ...     def __init__(self, paths, shape, dtype):
    ...         self.paths, self.shape, self.dtype = paths, (len(paths), *shape), np.dtype(dtype)
    ...
    ...     def read_into(self, first, view):
    ...         frames = np.frombuffer(view, self.dtype).reshape(-1, *self.shape[1:])
    ...         for number, frame in enumerate(frames, first):
    ...             frame[...] = np.load(self.paths[number])
    ...
    ...     def finish(self):
    ...         pass
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """Canonical shape, rows first."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type in native byte order."""

    @property
    def access(self) -> Access:
        """How `read_into` may be called."""

    def read_into(self, first: int, view: memoryview) -> None:
        """Fill a view of bytes with whole rows, from row `first` on."""

    def finish(self) -> None:
        """Verify checksums, and free what is held; called when every row has been read."""


@runtime_checkable
class WindowedSource(Protocol):
    """What a `RowSource` has besides, if its rows can be read window by window only."""

    def windows(self, multiple: int) -> Iterator[range]:
        """Give ranges of rows, in order; each starts at a multiple, and can be read until the next is asked for."""


def windows_of(source: RowSource, multiple: int) -> Iterator[range]:
    """Give the windows of a source; most sources have one, of all rows."""
    if isinstance(source, WindowedSource):
        yield from source.windows(multiple)
    else:
        yield range(source.shape[0])


def row_bytes_of(source: RowSource) -> int:
    """Return the size of a row."""
    return math.prod(source.shape[1:]) * source.dtype.itemsize


class ArrayRows:
    """Rows of an array in memory; see `RowSource`.

    Parameters
    ----------
    array : numpy.ndarray
        Any strides and byte order.
    axes : sequence of int, optional
        The array's axes in canonical order; as they are by default.
    """

    access = Access.ANY_THREAD

    def __init__(self, array: Array, axes: Sequence[int] | None = None) -> None:
        self._array = array if axes is None else array.transpose(axes)
        self.shape: tuple[int, ...] = self._array.shape
        self.dtype = array.dtype.newbyteorder("=")

    def read_into(self, first: int, view: memoryview) -> None:
        """See `RowSource`."""
        gather(self._array[first : first + len(view) // row_bytes_of(self)], view)
        to_native(view, self._array.dtype)

    def finish(self) -> None:
        """See `RowSource`; memory has no checksum."""
