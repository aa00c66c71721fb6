"""Datasets in chunks: how they are made, and how rows become their chunks."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

from ptychoproduct.codecs import Codec
from ptychoproduct.errors import OptionError
from ptychoproduct.pipeline import filter_pipeline
from ptychoproduct_native import ChunkBuffer, gather

Array = np.ndarray[Any, Any]

# Measured: from 0.5 to 4 MiB the throughput is the same within 5 %; a small chunk is quicker to read one frame from.
CHUNK_BYTES = 1024**2
MOST_CHUNK_BYTES = 1024**3  # HDF5 takes 4 GiB, some filters less
# Of the whole rows that a chunk is cut from; three times as much is in memory.
MOST_ROWS_BYTES = 1024**3

Convert = Callable[[tuple[int, ...], Array, Array], None]
"""Makes the elements of a chunk. Called from any thread with the index of the chunk's first element, the source's
elements, and the array to fill; both are contiguous and of the chunk's shape, and zeros where the chunk reaches beyond
the source. An error that it raises ends the writing."""


@dataclass(frozen=True)
class RowOutput:
    """A dataset to fill from a source.

    Parameters
    ----------
    dataset : h5py.Dataset
        Made by `create_chunked`, of the source's shape.
    convert : callable, optional
        See `Convert`; without one the dataset has the source's type, and gets the rows as they are.
    """

    dataset: h5py.Dataset
    convert: Convert | None = None


def default_chunk_rows(row_shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    """Return how many rows make a chunk of about `CHUNK_BYTES`."""
    return max(1, CHUNK_BYTES // max(1, math.prod(row_shape) * dtype.itemsize))


def fitted_chunks(wanted: tuple[int, ...], shape: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[int, ...]:
    """Return the shape of chunks, cut where it is larger than the dataset.

    Raises
    ------
    OptionError
        The shape is none, or a chunk, or the rows it is a part of, would be too large.
    """
    if len(wanted) != len(shape) or min(wanted) < 1:
        raise OptionError("chunk_shape", found=str(wanted), expected=f"{len(shape)} positive numbers")
    chunks = tuple(map(min, wanted, shape))
    for part, most in ((chunks, MOST_CHUNK_BYTES), ((chunks[0], *shape[1:]), MOST_ROWS_BYTES)):
        nbytes = math.prod(part) * dtype.itemsize
        if nbytes > most:
            found = f"{chunks}, of rows {part} that are {nbytes} bytes"
            raise OptionError("chunk_shape", found=found, expected=f"at most {most} bytes")
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
        The shape is none, or a chunk, or the rows it is a part of, would be too large.
    """
    wanted = chunk_shape or (default_chunk_rows(row_shape, dtype), *row_shape)
    chunks = fitted_chunks(wanted, (wanted[0] if rows is None else rows, *row_shape), dtype)
    return group.create_dataset(
        name,
        shape=(rows or 0, *row_shape),
        maxshape=(rows, *row_shape),
        dtype=dtype,
        chunks=chunks,
        **codec.dataset_options(dtype),
    )


class ChunkTarget:
    """A dataset that is written chunk by chunk.

    Parameters
    ----------
    output : RowOutput
    dtype : numpy.dtype
        Of the source's elements.

    Attributes
    ----------
    chunk_shape, row_shape : tuple of int
    """

    def __init__(self, output: RowOutput, dtype: np.dtype[Any]) -> None:
        dataset = output.dataset
        self.chunk_shape: tuple[int, ...] = dataset.chunks
        self.row_shape: tuple[int, ...] = dataset.shape[1:]
        self._dataset = dataset
        self._convert = output.convert
        self._source_dtype = dtype
        self._dtype: np.dtype[Any] = dataset.dtype
        self._grows = dataset.maxshape[0] is None
        self._pipeline = filter_pipeline(dataset)

    def origins(self, rows: range) -> Iterator[tuple[int, ...]]:
        """Give the indexes of the first elements of the chunks that hold rows, which begin with a chunk's first."""
        inner = (range(0, length, step) for length, step in zip(self.row_shape, self.chunk_shape[1:], strict=True))
        return itertools.product(rows[:: self.chunk_shape[0]], *inner)

    def cut(self, origin: tuple[int, ...], block: Array, first: int) -> ChunkBuffer:
        """Copy the elements of a chunk out of whole rows, from row `first` on, zeros where they reach no further."""
        starts = (origin[0] - first, *origin[1:])
        part = block[tuple(slice(start, start + size) for start, size in zip(starts, self.chunk_shape, strict=True))]
        chunk = ChunkBuffer(math.prod(self.chunk_shape) * block.dtype.itemsize)
        if part.shape == self.chunk_shape:
            gather(part, chunk)
        else:
            elements = self._array(chunk, block.dtype)
            elements.fill(0)
            elements[tuple(map(slice, part.shape))] = part
        return chunk

    def encode(self, origin: tuple[int, ...], chunk: ChunkBuffer, keep: bool = False) -> tuple[ChunkBuffer, int]:
        """Convert and encode the source's elements of a chunk; return the bytes and the filter mask.

        The elements are used up, unless they are to be kept.
        """
        if self._convert is not None:
            converted = ChunkBuffer(math.prod(self.chunk_shape) * self._dtype.itemsize)
            self._convert(origin, self._array(chunk, self._source_dtype), self._array(converted, self._dtype))
            chunk = converted
        elif keep:
            copy = ChunkBuffer(len(chunk))
            memoryview(copy)[:] = memoryview(chunk)
            chunk = copy
        return self._pipeline.encode(chunk)

    def write(self, origin: tuple[int, ...], data: ChunkBuffer, filter_mask: int) -> None:
        """Write an encoded chunk; a dataset that can grow does."""
        stop = origin[0] + self.chunk_shape[0]
        if self._grows and stop > self._dataset.shape[0]:
            self._dataset.resize(stop, axis=0)
        self._dataset.id.write_direct_chunk(origin, data, filter_mask)

    def _array(self, chunk: ChunkBuffer, dtype: np.dtype[Any]) -> Array:
        return np.frombuffer(chunk, dtype).reshape(self.chunk_shape)
