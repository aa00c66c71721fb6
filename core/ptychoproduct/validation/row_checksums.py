"""A checksum of each row, made by the threads that read the rows, so that it takes next to no time."""

from __future__ import annotations

from contextlib import closing

import h5py
import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.hdf5.dataset_reader import DatasetReader
from ptychoproduct.hdf5.row_checksums import row_checksums
from ptychoproduct.model.counts import CountsRecipe
from ptychoproduct.streaming.chunk_target import Convert
from ptychoproduct.streaming.passing_rows import PassingRows
from ptychoproduct.streaming.sources import RowSource
from ptychoproduct.streaming.stored_rows import ChecksummedRows, StoredRows


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


def checked_counts(recipe: CountsRecipe, checksums: Array, start: int = 0) -> Convert:
    """Return a function that makes counts of amplitudes, and fills an array, [N], with the checksums of their rows.

    The chunks have to be whole rows; the first checksum is that of row `start`.
    """

    def convert(offset: tuple[int, ...], amplitudes: Array, counts: Array) -> None:
        recipe.convert(offset, amplitudes, counts)
        first = offset[0] - start
        found = row_checksums(counts[: len(checksums) - first])
        checksums[first : first + len(found)] = found

    return convert


def checked_rows(source: RowSource, checksums: Array, recipe: CountsRecipe | None = None, start: int = 0) -> RowSource:
    """Return rows that fill an array, [N], with their checksums as they pass, from row `start` on."""
    if recipe is None and isinstance(source, StoredRows) and source.has_plain_rows:
        return ChecksummedRows(source, checksums, start)

    def note(first: int, rows: Array) -> None:
        checksums[first - start : first - start + len(rows)] = row_checksums(rows)

    return PassingRows(source, note, recipe)
