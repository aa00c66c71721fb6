"""Frames in another orientation than their source has them."""

from __future__ import annotations

import numpy as np

from ptychoproduct.model.transforms import transformed_array
from ptychoproduct.streaming.sources import RowSource, WindowedSource


class TransformedRows:
    """Rows of a source, each transformed; see `RowSource`.

    Parameters
    ----------
    source : RowSource
        Of [N, H, W].
    steps : tuple of str
        See `parse_array_transform`.
    """

    def __init__(self, source: RowSource, steps: tuple[str, ...]) -> None:
        self._source = source
        self._steps = steps
        self.dtype, self.access = source.dtype, source.access
        self.shape: tuple[int, ...] = transformed_array(steps, np.broadcast_to(np.int8(0), source.shape)).shape
        if isinstance(source, WindowedSource):
            self.windows = source.windows

    def read_into(self, first: int, view: memoryview) -> None:
        """See `RowSource`."""
        frames = np.frombuffer(view, self.dtype).reshape(-1, *self.shape[1:])
        as_they_are = np.empty((len(frames), *self._source.shape[1:]), self.dtype)
        self._source.read_into(first, memoryview(as_they_are).cast("B"))
        frames[...] = transformed_array(self._steps, as_they_are)

    def finish(self) -> None:
        """See `RowSource`."""
        self._source.finish()
