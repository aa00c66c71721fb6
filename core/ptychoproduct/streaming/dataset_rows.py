"""Frames of an HDF5 dataset as rows, decoded in blocks of whole chunks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import h5py
import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.errors import ContractError, SourceError
from ptychoproduct.hdf5.dataset_reader import DatasetReader
from ptychoproduct.hdf5.folder_links import Hdf5Source
from ptychoproduct.model.counts import CountsRecipe
from ptychoproduct_native import gather

_BLOCK_BYTES = 4 * 1024**2


class DatasetRows:
    """Rows of a dataset of a source; see `RowSource`.

    Rows are read a block at a time: of a few MiB where the rows lie one after the other, of up to `memory_bytes` where
    the axes are in another order and each row touches much of the file.

    Parameters
    ----------
    source : Hdf5Source
    dataset : h5py.Dataset
        At least one dimension, at least one element.
    axes : sequence of int
        The dataset's axes in canonical order.
    memory_bytes : int
        Size of the block; at least one row is held.
    threads : int
        How many chunks are decoded at once.
    recipe : CountsRecipe, optional
        Rows are the amplitudes that it makes of the dataset's counts.
    """

    random_access = False

    def __init__(
        self,
        source: Hdf5Source,
        dataset: h5py.Dataset,
        axes: Sequence[int],
        memory_bytes: int,
        threads: int = 1,
        recipe: CountsRecipe | None = None,
    ) -> None:
        self.shape: tuple[int, ...] = tuple(dataset.shape[axis] for axis in axes)
        self._reader = DatasetReader(dataset, threads, recipe)
        self.dtype = self._reader.dtype.newbyteorder("=")
        self._source = source
        self._dataset = dataset
        self._axes = tuple(axes)
        self._row_bytes = math.prod(self.shape[1:]) * self.dtype.itemsize
        row_axis = self._axes[0]
        self._chunk_rows = min(dataset.chunks[row_axis] if dataset.chunks else 1, self.shape[0])
        wanted = min(memory_bytes, _BLOCK_BYTES) if row_axis == 0 else memory_bytes
        whole = max(1, wanted // (self._row_bytes * self._chunk_rows)) * self._chunk_rows
        self._block_rows = min(whole, max(1, memory_bytes // self._row_bytes), self.shape[0])
        self._block: Array | None = None
        self._block_range = range(0)

    def windows(self, multiple: int) -> Iterator[range]:  # noqa: ARG002 - there is one
        """See `RowSource`."""
        yield range(self.shape[0])

    def read_into(self, first: int, view: memoryview) -> None:
        """See `RowSource`; rows may come in any order, from one thread."""
        rows = len(view) // self._row_bytes
        filled = 0
        while filled < rows:
            if first + filled not in self._block_range:
                self._load_block((first + filled) // self._block_rows * self._block_rows)
            start = first + filled - self._block_range.start
            count = min(rows - filled, len(self._block_range) - start)
            assert self._block is not None
            part = view[filled * self._row_bytes : (filled + count) * self._row_bytes]
            gather(self._block.transpose(self._axes)[start : start + count], part)
            filled += count

    def finish(self) -> None:
        """See `RowSource`; checksums are verified where chunks are decoded."""
        self._reader.close()

    def _load_block(self, first: int) -> None:
        stop = min(first + self._block_rows, self.shape[0])
        if self._block is None or self._block.shape[self._axes[0]] != stop - first:
            shape = list(self._dataset.shape)
            shape[self._axes[0]] = stop - first
            self._block = np.empty(shape, self.dtype)
        try:
            self._read(first, self._block)
        except ContractError as error:
            raise self._error(first, stop, error) from error
        self._block_range = range(first, stop)

    def _read(self, first: int, block: Array) -> None:
        """Fill a block with what the dataset has from a row on."""
        selection = [slice(None)] * self._dataset.ndim
        selection[self._axes[0]] = slice(first, first + block.shape[self._axes[0]])
        self._reader.read_into(block, tuple(selection))

    def _error(self, first: int, stop: int, error: ContractError) -> SourceError:
        """Say which frames cannot be decoded: those of the first chunk in which one fails."""
        row_shape = list(self._dataset.shape)
        row_shape[self._axes[0]] = 1
        frames = f"{first} to {stop - 1}"
        for start in range(first // self._chunk_rows * self._chunk_rows, stop, self._chunk_rows):
            try:
                self._read(max(first, start), np.empty(row_shape, self.dtype))
            except ContractError as first_error:
                frames, error = f"{start} to {min(start + self._chunk_rows, self.shape[0]) - 1}", first_error
                break
        file = self._source.file_of(self._dataset)
        return SourceError(file, f"frames {frames} cannot be decoded: {error.problem}", key=self._dataset.name)


class DecodedRows:
    """Rows of a dataset, decoded ahead on all cores; see `RowSource`.

    Parameters
    ----------
    reader : DatasetReader
        Of numbers that have the same bytes in the file and in memory.
    """

    random_access = False

    def __init__(self, reader: DatasetReader) -> None:
        self.shape = reader.shape
        self.dtype = reader.dtype
        self._reader = reader
        self._blocks = reader.blocks(lambda _, block: block)
        self._block: Array | None = None
        self._range = range(0)
        self._next = 0

    def windows(self, multiple: int) -> Iterator[range]:  # noqa: ARG002 - there is one
        """See `RowSource`."""
        yield range(self.shape[0])

    def read_into(self, first: int, view: memoryview) -> None:
        """See `RowSource`; rows may come in any order, from one thread. ContractError where they cannot be decoded."""
        out = np.frombuffer(view, self.dtype).reshape(-1, *self.shape[1:])
        if first != self._next:
            self._reader.read_into(out, slice(first, first + len(out)))
            return
        filled = 0
        while filled < len(out):
            if first + filled == self._range.stop:
                self._range, future = next(self._blocks)
                self._block = future.result()
            assert self._block is not None
            start = first + filled - self._range.start
            count = min(len(out) - filled, len(self._range) - start)
            out[filled : filled + count] = self._block[start : start + count]
            filled += count
        self._next = first + filled

    def finish(self) -> None:
        """See `RowSource`; the checksums that there are were verified with each chunk."""
