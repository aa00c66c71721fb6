"""Frames that are kept while they are written, so that they need not be read back to be judged."""

from __future__ import annotations

from bisect import bisect_left

import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.model.counts import CountsRecipe
from ptychoproduct.streaming.passing_rows import PassingRows
from ptychoproduct.streaming.sources import RowSource


class KeptFrames:
    """Some frames of a scan, which are kept as they pass."""

    def __init__(self) -> None:
        self._rows: list[int] = []
        self._frames: Array = np.empty(0)
        self._seen: set[int] = set()
        self._recipe: CountsRecipe | None = None

    def passing(self, source: RowSource, rows: Array, recipe: CountsRecipe | None = None) -> RowSource:
        """Return a source some of whose frames are kept as they pass, from any thread.

        Parameters
        ----------
        source : RowSource
            All frames.
        rows : array, [n], int
            Which are kept, in rising order.
        recipe : CountsRecipe, optional
            The frames are amplitudes, and stored as the counts that it finds.
        """
        self._rows, self._recipe = rows.tolist(), recipe
        self._frames = np.empty((len(rows), *source.shape[1:]), source.dtype)
        self._seen.clear()
        return PassingRows(source, self._see)

    def _see(self, first: int, frames: Array) -> None:
        begin, end = (bisect_left(self._rows, number) for number in (first, first + len(frames)))
        for index in range(begin, end):
            self._frames[index] = frames[self._rows[index] - first]
            self._seen.add(index)

    def of(self, rows: Array) -> Array | None:
        """Return frames as they are stored, [n, H, W]; None where these did not pass."""
        if rows.tolist() != self._rows or len(self._seen) < len(self._rows):
            return None
        return self._frames if self._recipe is None else self._recipe.to_counts(self._frames)
