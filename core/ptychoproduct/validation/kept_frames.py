"""Frames that physics judges: which, and those that are kept while they are written, and so need not be read back."""

from __future__ import annotations

from bisect import bisect_left

import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.model.ascending import distinct
from ptychoproduct.model.counts import CountsRecipe
from ptychoproduct.streaming.passing_rows import PassingRows
from ptychoproduct.streaming.sources import RowSource

MOST_FRAMES = 64
# As many pixels are predicted as that, 12 frames at least: 12 of 256 x 256, 64 of 64 x 64.
_PIXELS = 3 * 2**18
_USUAL_FRAMES = 12
# A chunk of more frames than this is decoded for several of them.
_DEEP_CHUNK = 8
_DEEP_CHUNKS = 4


def frames_to_judge(frames: int, frame_shape: tuple[int, ...], chunks: tuple[int, ...] | None = None) -> Array:
    """Choose some frames that are spread over a scan, so that few chunks have to be decoded: int, in rising order."""
    rows = _spread(frames, frame_shape)
    depth = chunks[0] if chunks else 1
    if depth <= _DEEP_CHUNK or frames <= _DEEP_CHUNKS * depth:
        return rows
    each = -(-len(rows) // _DEEP_CHUNKS)
    firsts = _spread(frames // depth, (2**30,))[:: max(1, _DEEP_CHUNKS - 1)][:_DEEP_CHUNKS] * depth
    return distinct(firsts[:, np.newaxis] + np.linspace(0, depth - 1, each).astype(int))


def _spread(frames: int, frame_shape: tuple[int, ...]) -> Array:
    """Choose frames that are spread over the rows of a raster, too."""
    pixels = max(1, int(np.prod(frame_shape)))
    wanted = min(frames, max(_USUAL_FRAMES, min(MOST_FRAMES, _PIXELS // pixels)))
    golden = (5**0.5 - 1) / 2
    spread = (np.arange(wanted) + np.arange(wanted) * golden % 1) * frames / max(1, wanted)
    return distinct(spread.astype(int))


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
