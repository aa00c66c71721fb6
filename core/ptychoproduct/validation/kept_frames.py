"""Frames that are kept while they are written, so that they need not be read back to be judged."""

from __future__ import annotations

from bisect import bisect_left

import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.model.counts import CountsRecipe
from ptychoproduct.streaming.passing_rows import PassingRows
from ptychoproduct.streaming.sources import RowSource


class KeptFrames:
    """Some frames of a scan.

    Parameters
    ----------
    rows : array, [n], int
        Which, in rising order.
    recipe : CountsRecipe, optional
        The frames are amplitudes, and stored as the counts that it finds.
    """

    def __init__(self, rows: Array, recipe: CountsRecipe | None = None) -> None:
        self._rows: list[int] = rows.tolist()
        self._recipe = recipe
        self._found: dict[int, Array] = {}

    def passing(self, source: RowSource) -> RowSource:
        """Return a source whose frames are kept as they pass, from any thread."""
        return PassingRows(source, self._see)

    def _see(self, first: int, frames: Array) -> None:
        for number in self._rows[bisect_left(self._rows, first) : bisect_left(self._rows, first + len(frames))]:
            self._found[number] = frames[number - first].copy()

    def of(self, rows: Array) -> Array | None:
        """Return frames as they are stored, [n, H, W]; None where one of them did not pass."""
        if not all(number in self._found for number in rows.tolist()):
            return None
        frames = np.stack([self._found[number] for number in rows.tolist()])
        return frames if self._recipe is None else self._recipe.to_counts(frames)
