"""Some rows of a source, and of each a part: what a selection of frames and a crop leave."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.streaming.sources import Access, RowSource, WindowedSource, row_bytes_of

_BLOCK_BYTES = 1024**2


class SelectedRows:
    """Rows of those numbers, cropped; see `RowSource`.

    Parameters
    ----------
    source : RowSource
    numbers : array, [N], int
        Ascending and distinct.
    crop : tuple of slice
        Of each row.
    """

    def __init__(self, source: RowSource, numbers: Array, crop: tuple[slice, ...] = ()) -> None:
        self.access = source.access
        self.dtype = source.dtype
        cropped = tuple(len(range(length)[part]) for length, part in zip(source.shape[1:], crop, strict=False))
        self.shape = (len(numbers), *cropped, *source.shape[1 + len(cropped) :])
        self._source = source
        self._numbers = numbers
        self._crop = (slice(None), *crop)
        self._next = 0  # of the source's rows, where these are read in order
        self._held = np.empty((0, *self.shape[1:]), self.dtype)  # rows of earlier windows
        self._held_first = 0
        if isinstance(source, WindowedSource):
            self.windows = self._windows

    def read_into(self, first: int, view: memoryview) -> None:
        """See `RowSource`."""
        rows = np.frombuffer(view, self.dtype).reshape(-1, *self.shape[1:])
        before = max(0, min(len(rows), self._held_first + len(self._held) - first))
        rows[:before] = self._held[first - self._held_first :][:before]
        numbers = self._numbers[first + before : first + len(rows)]
        runs = np.flatnonzero(np.diff(numbers) != 1) + 1
        for start, stop in zip([0, *runs], [*runs, len(numbers)], strict=True):
            if stop > start:
                self._read_run(int(numbers[start]), rows[before + start : before + stop])

    def finish(self) -> None:
        """See `RowSource`. A checksum is of all rows: those that were not selected are read as well."""
        if not self._source.access.is_repeatable:
            end = self._source.shape[0]
            if self.access is Access.IN_ORDER:
                self._pass_over(range(self._next, end))
            else:
                edges = [-1, *self._numbers.tolist(), end]
                for before, after in pairwise(edges):
                    self._pass_over(range(before + 1, after))
        self._source.finish()

    def _read_run(self, number: int, rows: Array) -> None:
        """Read rows that follow each other, some at a time where they are cropped."""
        if self.access is Access.IN_ORDER:
            self._pass_over(range(self._next, number))
            self._next = number + len(rows)
        if self.shape[1:] == self._source.shape[1:]:
            self._source.read_into(number, memoryview(rows).cast("B"))
            return
        step = self._block_rows()
        block = np.empty((min(step, len(rows)), *self._source.shape[1:]), self.dtype)
        for start in range(0, len(rows), step):
            part = block[: len(rows) - start]
            self._source.read_into(number + start, memoryview(part).cast("B"))
            rows[start : start + len(part)] = part[self._crop]

    def _pass_over(self, numbers: range) -> None:
        step = self._block_rows()
        for start in numbers[::step]:
            length = min(step, numbers.stop - start) * row_bytes_of(self._source)
            self._source.read_into(start, memoryview(bytearray(length)))

    def _block_rows(self) -> int:
        return max(1, _BLOCK_BYTES // row_bytes_of(self._source))

    def _windows(self, multiple: int) -> Iterator[range]:
        """Give the selected rows of each window; those that do not fill a multiple are held until the next."""
        assert isinstance(self._source, WindowedSource)
        first = 0
        for window in self._source.windows(multiple):
            end = int(np.searchsorted(self._numbers, window.stop))
            is_last = window.stop == self._source.shape[0]
            stop = end if is_last else end // multiple * multiple
            if stop > first:
                yield range(first, stop)
            held = np.empty((end - max(first, stop), *self.shape[1:]), self.dtype)
            if held.size:
                self.read_into(end - len(held), memoryview(held).cast("B"))
            self._held, self._held_first, first = held, end - len(held), max(first, stop)
