"""Where the chunks of a dataset are in its file."""

from __future__ import annotations

import math
import os
import sys
import weakref
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import h5py
import numpy as np

from ptychoproduct.compression.codecs import Codec
from ptychoproduct.compression.stand_in import fitted_codec
from ptychoproduct.errors import ContractError, OptionError
from ptychoproduct.hdf5.chunk_grid import misplaced, stored_chunks
from ptychoproduct_native import ChunkBuffer, read_segments


class StoredChunk(NamedTuple):
    """Encoded bytes in a file.

    Parameters
    ----------
    filter_mask : int
        HDF5's filter mask: filter i was skipped where bit i is set.
    offset, nbytes : int
    """

    filter_mask: int
    offset: int
    nbytes: int


class ChunkIndex:
    """All stored chunks of a dataset, in 32 bytes each.

    HDF5 walks through the chunks up to the one that is asked for; here they are walked through once.

    Parameters
    ----------
    dataset : h5py.Dataset
        Chunked; nothing writes to it.

    Attributes
    ----------
    numbers : array, ascending
        Places of the stored chunks in the grid of chunks.

    Raises
    ------
    ContractError
        A chunk is not where one can be.
    """

    def __init__(self, dataset: h5py.Dataset) -> None:
        self._chunk_shape: tuple[int, ...] = dataset.chunks
        grid = [-(-length // step) for length, step in zip(dataset.shape, dataset.chunks, strict=True)]
        self._grid = grid
        self._strides = [math.prod(grid[axis + 1 :]) for axis in range(len(grid))]
        self._steps = [*zip(dataset.chunks, self._strides, strict=True)]
        chunks = stored_chunks(dataset.id)
        problem = misplaced(chunks, dataset.id)
        if problem:
            raise ContractError(dataset.file.filename, problem, key=dataset.name)
        numbers = self._number(chunks.origins.T)
        order = np.argsort(numbers)
        columns = (numbers, chunks.masks, chunks.byte_offsets, chunks.sizes)
        self.numbers, self._masks, self._offsets, self._sizes = (column[order] for column in columns)
        self._has_all = len(self.numbers) == math.prod(grid)

    def origins(self) -> Iterator[tuple[int, ...]]:
        """Give the index of the first element of each stored chunk, in order."""
        steps = self._chunk_shape
        for number in self.numbers.tolist():
            places = (number // stride % grid for stride, grid in zip(self._strides, self._grid, strict=True))
            yield tuple(place * step for place, step in zip(places, steps, strict=True))

    def find(self, offset: Sequence[int]) -> StoredChunk | None:
        """Return a chunk by the index of its first element, None where it was never written."""
        number = self._number(offset)
        place = number if self._has_all else int(np.searchsorted(self.numbers, np.uint64(number)))
        if place >= len(self.numbers) or self.numbers[place] != number:
            return None
        return StoredChunk(int(self._masks[place]), int(self._offsets[place]), int(self._sizes[place]))

    def _number(self, origins: Iterable[Any]) -> Any:
        """Return the places of chunks in the grid of chunks."""
        return sum(first // step * stride for first, (step, stride) in zip(origins, self._steps, strict=True))


def own_descriptor(owner: object, file: h5py.File) -> int | None:
    """Open a file again to read chunks without HDF5, until `owner` is deleted; None where only HDF5 can read it.

    HDF5 closes its own descriptor with the file, and the next file gets the number. A duplicate would keep HDF5's lock.
    """
    # On Windows, reading at an offset moves the file's position, on which HDF5 relies.
    if sys.platform == "win32" or file.driver != "sec2" or file.mode != "r" or file.userblock_size:
        return None
    try:
        own = os.open(file.filename, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    weakref.finalize(owner, os.close, own)
    return own if os.path.sameopenfile(own, file.id.get_vfd_handle()) else None


def read_chunk(descriptor: int, chunk: StoredChunk) -> ChunkBuffer:
    """Read the encoded bytes of a chunk, on any thread.

    Raises
    ------
    EOFError, OSError
        The file ends before, or cannot be read.
    """
    data = ChunkBuffer(chunk.nbytes)
    if chunk.nbytes:
        read_segments(descriptor, chunk.offset, chunk.nbytes, chunk.nbytes, data)
    return data


# Measured: from 0.5 to 4 MiB the throughput is the same within 5 %; a small chunk is quicker to read one frame from.
CHUNK_BYTES = 1024**2
MOST_CHUNK_BYTES = 1024**3  # HDF5 takes 4 GiB, some filters less
# Of the whole rows that a chunk is cut from; three times as much is in memory.
MOST_ROWS_BYTES = 1024**3


def default_chunk_rows(row_shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    """Return how many rows make a chunk of about `CHUNK_BYTES`."""
    return max(1, CHUNK_BYTES // max(1, math.prod(row_shape) * dtype.itemsize))


def fitted_chunks(wanted: tuple[int, ...], shape: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[int, ...]:
    """Return the shape of chunks, cut where it is larger than the dataset.

    Raises
    ------
    OptionError
        The shape is wrong, or a chunk or its whole rows would be too large.
    """
    if len(wanted) != len(shape) or min(wanted) < 1:
        raise OptionError("chunk_shape", found=str(wanted), expected=f"{len(shape)} positive numbers")
    chunks = tuple(map(min, wanted, shape))
    whole_rows = (chunks[0], *shape[1:])
    for name, part, most in (("a chunk", chunks, MOST_CHUNK_BYTES), ("its whole rows", whole_rows, MOST_ROWS_BYTES)):
        nbytes = math.prod(part) * dtype.itemsize
        if nbytes > most:
            raise OptionError(
                "chunk_shape", f"{chunks} is too large: {name} would take {nbytes} bytes, the limit is {most}"
            )
    return chunks


def create_chunked(
    group: h5py.Group,
    name: str,
    row_shape: tuple[int, ...],
    dtype: np.dtype[Any],
    codec: Codec,
    rows: int | None,
    chunk_shape: tuple[int, ...] | None = None,
) -> h5py.Dataset:
    """Create a dataset whose chunks are to be written one by one.

    Parameters
    ----------
    group : h5py.Group
    name : str
    row_shape : tuple of int
        Shape of one row, no axis empty.
    dtype : numpy.dtype
    codec : Codec
    rows : int or None
        Number of rows; None where it is not known beforehand.
    chunk_shape : tuple of int, optional
        Rows of a chunk, and which part of each; cut where it is larger than the dataset. Whole rows of about
        `CHUNK_BYTES` by default.

    Raises
    ------
    OptionError
        The shape is wrong, or a chunk or its whole rows would be too large.
    """
    wanted = chunk_shape or (default_chunk_rows(row_shape, dtype), *row_shape)
    chunks = fitted_chunks(wanted, (wanted[0] if rows is None else rows, *row_shape), dtype)
    return group.create_dataset(
        name,
        shape=(rows or 0, *row_shape),
        maxshape=(rows, *row_shape),
        dtype=dtype,
        chunks=chunks,
        **fitted_codec(codec, dtype, math.prod(chunks)).dataset_options(dtype),
    )
