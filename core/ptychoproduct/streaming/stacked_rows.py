"""Rows of arrays that are a stack of frames [N, H, W] but for axes of length one, or a grid of scan positions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from ptychoproduct.streaming.sources import Access, RowSource, WindowedSource, row_bytes_of


def stack_axes(shape: Sequence[int]) -> tuple[tuple[int, ...], ...] | None:
    """Return which axes of an array together are N, H and W of a stack; None where it can be none.

    Axes of length one behind and in front are left out; of four that remain, the first two are a grid of positions.
    """
    axes = list(range(len(shape)))
    while len(axes) > 3 and shape[axes[-1]] == 1:
        axes.pop()
    while len(axes) > 3 and shape[axes[0]] == 1:
        axes.pop(0)
    if len(axes) not in (3, 4):
        return None
    return (tuple(axes[:-2]), (axes[-2],), (axes[-1],))


def stack_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """Return the shape of an array as a stack of frames; its own where it can be none."""
    axes = stack_axes(shape)
    return tuple(shape) if axes is None else tuple(math.prod(shape[axis] for axis in group) for group in axes)


def stacked_rows(
    open_rows: Callable[[Sequence[int]], RowSource], shape: Sequence[int], axes: Sequence[int] = (0, 1, 2)
) -> RowSource:
    """Open the rows of a stack of frames.

    Parameters
    ----------
    open_rows : callable
        Opens rows of the array, given all of its axes in order.
    shape : sequence of int
        Of the array.
    axes : sequence of int
        The stack's axes that are N, H and W.
    """
    groups = stack_axes(shape)
    if groups is None or len(shape) == 3:
        return open_rows(axes)
    used = [axis for number in axes for axis in groups[number]]
    rows = open_rows([*used, *(axis for axis in range(len(shape)) if axis not in used)])
    lengths = stack_shape(shape)
    return _StackedRows(rows, tuple(lengths[axis] for axis in axes))


class _StackedRows:
    """Rows of which a source has one or several in each of its own; see `RowSource`."""

    def __init__(self, source: RowSource, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self.dtype = source.dtype
        self.access = source.access
        self._source = source
        self._each = shape[0] // source.shape[0]
        self._line = memoryview(b"")
        self._held = -1  # the number of the source's row that is in `_line`
        if self._each > 1:
            self.access = Access.ONE_THREAD if source.access.is_repeatable else Access.IN_ORDER
        if isinstance(source, WindowedSource):
            self.windows = self._windows

    def read_into(self, first: int, view: memoryview) -> None:
        """See `RowSource`."""
        row_bytes = row_bytes_of(self)
        while len(view):
            line, start = divmod(first, self._each)
            lines = len(view) // (row_bytes * self._each)
            if start == 0 and lines:
                rows = lines * self._each
                self._source.read_into(line, view[: rows * row_bytes])
            else:
                self._hold(line)
                rows = min(self._each - start, len(view) // row_bytes)
                view[: rows * row_bytes] = self._line[start * row_bytes : (start + rows) * row_bytes]
            first, view = first + rows, view[rows * row_bytes :]

    def finish(self) -> None:
        """See `RowSource`."""
        self._source.finish()

    def _hold(self, line: int) -> None:
        if line != self._held:
            if not self._line:
                self._line = memoryview(bytearray(self._each * row_bytes_of(self)))
            self._source.read_into(line, self._line)
            self._held = line

    def _windows(self, multiple: int) -> Iterator[range]:
        assert isinstance(self._source, WindowedSource)
        for window in self._source.windows(multiple // math.gcd(multiple, self._each)):
            yield range(window.start * self._each, window.stop * self._each)
