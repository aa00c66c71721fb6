"""Rows that are looked at on their way."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.model.counts import CountsRecipe
from ptychoproduct.streaming.sources import Access, RowSource, windows_of


class PassingRows:
    """Rows of another source, shown to a function as they pass; see `RowSource`.

    Parameters
    ----------
    source : RowSource
    see : callable
        Called with the number of the first of some rows, and the rows, on the thread that reads them.
    recipe : CountsRecipe, optional
        The rows are amplitudes, and the counts that it finds are shown: these are stored in their place.
    access : Access, optional
        By default that of the source.
    """

    def __init__(
        self,
        source: RowSource,
        see: Callable[[int, Array], None],
        recipe: CountsRecipe | None = None,
        access: Access | None = None,
    ) -> None:
        self.shape = source.shape
        self.dtype = source.dtype
        self.access = access or source.access
        self._source = source
        self._see = see
        self._recipe = recipe

    def windows(self, multiple: int) -> Iterator[range]:
        """See `WindowedSource`."""
        yield from windows_of(self._source, multiple)

    def read_into(self, first: int, view: memoryview) -> None:
        """See `RowSource`."""
        self._source.read_into(first, view)
        rows = np.frombuffer(view, self.dtype).reshape(-1, *self.shape[1:])
        self._see(first, rows if self._recipe is None else self._recipe.to_counts(rows))

    def finish(self) -> None:
        """See `RowSource`."""
        self._source.finish()
