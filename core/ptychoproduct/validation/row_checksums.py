"""A checksum of each row, made by the threads that read the rows, so that it takes next to no time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import h5py
import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.hdf5.dataset_reader import DatasetReader
from ptychoproduct.hdf5.row_checksums import row_checksums
from ptychoproduct.model.counts import CountsRecipe
from ptychoproduct.streaming.chunk_stream import Convert
from ptychoproduct.streaming.sources import RowSource, windows_of


def checksums_of_rows(dataset: h5py.Dataset, threads: int | None = None) -> Array:
    """Compute the checksums of all rows of a dataset, decoded on all cores.

    Raises
    ------
    ContractError
        A chunk cannot be decoded.
    """
    with closing(DatasetReader(dataset, threads)) as reader:
        found = [future.result() for _, future in reader.blocks(lambda _, block: row_checksums(block))]
    return np.concatenate(found) if found else np.zeros(0, np.uint32)


def checked_counts(recipe: CountsRecipe, checksums: Array) -> Convert:
    """Return a function that makes counts of amplitudes, and fills an array, [N], with the checksums of their rows.

    The chunks have to be whole rows.
    """

    def convert(offset: tuple[int, ...], amplitudes: Array, counts: Array) -> None:
        recipe.convert(offset, amplitudes, counts)
        found = row_checksums(counts[: len(checksums) - offset[0]])
        checksums[offset[0] : offset[0] + len(found)] = found

    return convert


class CheckedRows:
    """Rows of another source, whose checksums are made as they pass; see `RowSource`.

    Parameters
    ----------
    source : RowSource
    checksums : array, [N], uint32
        Filled with the checksums.
    recipe : CountsRecipe, optional
        The rows are amplitudes, and the counts that it finds get the checksums: these are stored in their place.
    """

    def __init__(self, source: RowSource, checksums: Array, recipe: CountsRecipe | None = None) -> None:
        self.shape = source.shape
        self.dtype = source.dtype
        self.access = source.access
        self._source = source
        self._checksums = checksums
        self._recipe = recipe

    def windows(self, multiple: int) -> Iterator[range]:
        """See `WindowedSource`."""
        yield from windows_of(self._source, multiple)

    def read_into(self, first: int, view: memoryview) -> None:
        """See `RowSource`."""
        self._source.read_into(first, view)
        rows = np.frombuffer(view, self.dtype).reshape(-1, *self.shape[1:])
        stored = rows if self._recipe is None else self._recipe.to_counts(rows)
        self._checksums[first : first + len(rows)] = row_checksums(stored)

    def finish(self) -> None:
        """See `RowSource`."""
        self._source.finish()
