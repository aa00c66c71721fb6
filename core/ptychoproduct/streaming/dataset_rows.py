"""Rows of an HDF5 dataset, decoded in blocks of whole chunks on all cores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from itertools import accumulate

import h5py
import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.errors import ContractError, SourceError
from ptychoproduct.hdf5.dataset_reader import DatasetReader
from ptychoproduct.hdf5.folder_links import Hdf5Source
from ptychoproduct.model.counts import CountsRecipe
from ptychoproduct.streaming.sources import Access, row_bytes_of
from ptychoproduct.system.byteorder import to_native
from ptychoproduct.system.resources import Resources
from ptychoproduct_native import gather


class DatasetRows:
    """Rows of a dataset; see `RowSource`.

    Where the rows lie one after the other, they are decoded ahead. Where the axes are in another order, each row
    touches much of the file, and blocks of as many rows are read as the memory holds.

    Parameters
    ----------
    dataset : h5py.Dataset
        At least one dimension, at least one element.
    axes : sequence of int, optional
        The dataset's axes in canonical order; as they are by default.
    resources : Resources, optional
        Threads, and what a block may take; at least one row is held.
    recipe : CountsRecipe, optional
        Rows are the amplitudes that it makes of the dataset's counts.
    source : Hdf5Source, optional
        What the dataset was found in: errors name its file and the frames.
    accept_damage : bool
        See `DatasetReader`, which is the attribute `reader`.
    """

    access = Access.ONE_THREAD

    def __init__(
        self,
        dataset: h5py.Dataset,
        axes: Sequence[int] | None = None,
        resources: Resources | None = None,
        recipe: CountsRecipe | None = None,
        source: Hdf5Source | None = None,
        accept_damage: bool = False,
    ) -> None:
        resources = resources or Resources()
        self._axes = tuple(range(dataset.ndim) if axes is None else axes)
        self._row_axis = self._axes[0]
        self._dataset = dataset
        self._source = source
        self.reader = DatasetReader(dataset, resources.threads, recipe, accept_damage)
        self.shape: tuple[int, ...] = tuple(dataset.shape[axis] for axis in self._axes)
        self.dtype = self.reader.dtype.newbyteorder("=")
        self._chunk_rows = min(dataset.chunks[self._row_axis] if dataset.chunks else 1, self.shape[0])
        most_rows = max(1, resources.memory_bytes // row_bytes_of(self))
        whole = max(1, most_rows // self._chunk_rows) * self._chunk_rows
        self._block_rows = min(whole, most_rows, self.shape[0])
        self._ahead = self.reader.blocks(lambda _, block: block)
        self._ahead_next = 0
        self._block: Array | None = None
        self._block_range = range(0)

    def read_into(self, first: int, view: memoryview) -> None:
        """See `RowSource`. Rows that come in order are decoded ahead."""
        rows = len(view) // row_bytes_of(self)
        filled = 0
        while filled < rows:
            row = first + filled
            part = view[filled * row_bytes_of(self) :]
            if row in self._block_range or self._load(row):
                assert self._block is not None
                start = row - self._block_range.start
                count = min(rows - filled, len(self._block_range) - start)
                part = part[: count * row_bytes_of(self)]
                gather(self._block.transpose(self._axes)[start : start + count], part)
                to_native(part, self._block.dtype)
                filled += count
            else:
                out = np.frombuffer(part, self.dtype).reshape(-1, *self.shape[1:])
                self._read(range(row, first + rows), out.transpose(np.argsort(self._axes)))
                return

    def finish(self) -> None:
        """See `RowSource`; checksums are verified where chunks are decoded."""
        self._ahead.close()
        self.reader.close()

    def _load(self, first: int) -> bool:
        """Load the block that holds a row; False where rows are read one after the other, and this is not the next."""
        if self._row_axis == 0:
            if first != self._ahead_next:
                return False
            rows, future = next(self._ahead)
            self._ahead_next = rows.stop
            self._block, self._block_range = self._decoded(future, rows), rows
            return True
        start = first // self._block_rows * self._block_rows
        rows = range(start, min(start + self._block_rows, self.shape[0]))
        if self._block is None or self._block.shape[self._row_axis] != len(rows):
            shape = list(self._dataset.shape)
            shape[self._row_axis] = len(rows)
            self._block = np.empty(shape, self.dtype)
        self._read(rows, self._block)
        self._block_range = rows
        return True

    def _decoded(self, future: Future[Array], rows: range) -> Array:
        try:
            return future.result()
        except ContractError as error:
            raise self._error(rows, error) from error

    def _read(self, rows: range, out: Array) -> None:
        """Read rows into an array that has the dataset's axes."""
        try:
            self.reader.read_into(out, self._selection(rows))
        except ContractError as error:
            raise self._error(rows, error) from error

    def _selection(self, rows: range) -> tuple[slice, ...]:
        return (*(slice(None) for _ in range(self._row_axis)), slice(rows.start, rows.stop))

    def _error(self, rows: range, error: ContractError) -> ContractError | SourceError:
        """Say which frames of a source cannot be decoded: those of the first chunk in which one fails."""
        if self._source is None:
            return error
        row_shape = list(self._dataset.shape)
        row_shape[self._row_axis] = 1
        frames = f"{rows.start} to {rows.stop - 1}"
        for start in range(rows.start // self._chunk_rows * self._chunk_rows, rows.stop, self._chunk_rows):
            row = max(rows.start, start)
            try:
                self.reader.read_into(np.empty(row_shape, self.dtype), self._selection(range(row, row + 1)))
            except ContractError as first_error:
                frames, error = f"{start} to {min(start + self._chunk_rows, self.shape[0]) - 1}", first_error
                break
        file = self._source.file_of(self._dataset)
        return SourceError(file, f"frames {frames} cannot be decoded: {error.problem}", key=self._dataset.name)


class JoinedRows:
    """Rows of several datasets of one shape and type, one after the other; see `RowSource`. One is open at a time.

    Parameters
    ----------
    parts : sequence of h5py.Dataset
        None empty.
    open_rows : callable
        Opens the rows of one.
    """

    access = Access.ONE_THREAD

    def __init__(self, parts: Sequence[h5py.Dataset], open_rows: Callable[[h5py.Dataset], DatasetRows]) -> None:
        self._parts = parts
        self._open_rows = open_rows
        self._ends = list(accumulate(map(len, parts)))
        self.shape: tuple[int, ...] = (self._ends[-1], *parts[0].shape[1:])
        self.dtype = parts[0].dtype.newbyteorder("=")
        self._open: tuple[int, DatasetRows] | None = None

    def read_into(self, first: int, view: memoryview) -> None:
        """See `RowSource`. Rows that come in order are decoded ahead."""
        row_bytes = row_bytes_of(self)
        while len(view):
            number = int(np.searchsorted(self._ends, first, "right"))
            if self._open is None or self._open[0] != number:
                self.finish()
                self._open = (number, self._open_rows(self._parts[number]))
            count = min(len(view) // row_bytes, self._ends[number] - first)
            self._open[1].read_into(first - self._ends[number] + len(self._parts[number]), view[: count * row_bytes])
            view, first = view[count * row_bytes :], first + count

    def finish(self) -> None:
        """See `RowSource`; checksums are verified where chunks are decoded."""
        if self._open is not None:
            self._open[1].finish()
        self._open = None
