"""A dataset that is filled chunk by chunk: what a chunk holds, how it is encoded, and how it comes into the file."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import h5py
import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.compression.filters import filter_pipeline
from ptychoproduct_native import ChunkBuffer, OutputFile, gather

Convert = Callable[[tuple[int, ...], Array, Array], object]
"""Makes the elements of a chunk. Called from any thread with the chunk's offset (the index of its first element), the
source's elements, and the array to fill. Both are contiguous and of the chunk's shape, and zeros where the chunk
reaches beyond the source. An error that it raises ends the writing."""


class RowOutput(NamedTuple):
    """A dataset to fill from a source.

    Parameters
    ----------
    dataset : h5py.Dataset
        Made by `create_chunked`, of the source's shape.
    convert : callable, optional
        See `Convert`; without one the dataset has the source's type, and gets the rows as they are.
    mirror : h5py.Dataset, optional
        Of another file; it gets the same chunks.
    file : OutputFile, optional
        What HDF5 writes the dataset's file to. With one, HDF5 only says where a chunk goes, and the chunk is written
        there past HDF5's lock and Python's.
    """

    dataset: h5py.Dataset
    convert: Convert | None = None
    mirror: h5py.Dataset | None = None
    file: OutputFile | None = None


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
        self._datasets = [dataset] if output.mirror is None else [output.mirror, dataset]
        self._file = output.file
        self._convert = output.convert
        self._source_dtype = dtype
        self._dtype: np.dtype[Any] = dataset.dtype
        self._grows = dataset.maxshape[0] is None
        self._pipeline = filter_pipeline(dataset)

    def offsets(self, rows: range) -> Iterator[tuple[int, ...]]:
        """Give the offsets of the chunks that hold rows, which begin with a chunk's first."""
        inner = (range(0, length, step) for length, step in zip(self.row_shape, self.chunk_shape[1:], strict=True))
        return itertools.product(rows[:: self.chunk_shape[0]], *inner)

    def cut(self, offset: tuple[int, ...], block: Array, first: int) -> ChunkBuffer:
        """Copy the elements of a chunk from whole rows that begin with row `first`; zeros beyond them."""
        starts = (offset[0] - first, *offset[1:])
        part = block[tuple(slice(start, start + size) for start, size in zip(starts, self.chunk_shape, strict=True))]
        chunk = ChunkBuffer(math.prod(self.chunk_shape) * block.dtype.itemsize)
        if part.shape == self.chunk_shape:
            gather(part, chunk)
        else:
            elements = self._array(chunk, block.dtype)
            elements.fill(0)
            elements[tuple(map(slice, part.shape))] = part
        return chunk

    def encode(self, offset: tuple[int, ...], chunk: ChunkBuffer, keep: bool = False) -> tuple[ChunkBuffer, int]:
        """Convert and encode the source's elements of a chunk; return the bytes and the filter mask.

        The elements are used up, unless they are to be kept.
        """
        if self._convert is not None:
            converted = ChunkBuffer(math.prod(self.chunk_shape) * self._dtype.itemsize)
            self._convert(offset, self._array(chunk, self._source_dtype), self._array(converted, self._dtype))
            chunk = converted
        elif keep:
            chunk = _copied(chunk)
        try:
            return self._pipeline.encode(chunk)
        except BufferError:  # who looks at running threads, such as Dask's profiler, holds what these have looked at
            return self._pipeline.encode(_copied(chunk))

    def write(self, offset: tuple[int, ...], data: ChunkBuffer, filter_mask: int) -> None:
        """Write an encoded chunk; a dataset that can grow is extended for it."""
        stop = offset[0] + self.chunk_shape[0]
        for dataset in self._datasets:
            if self._grows and stop > dataset.shape[0]:
                dataset.resize(stop, axis=0)
            write_chunk(dataset, offset, data, filter_mask, self._file if dataset is self._datasets[-1] else None)

    def _array(self, chunk: ChunkBuffer, dtype: np.dtype[Any]) -> Array:
        return np.frombuffer(chunk, dtype).reshape(self.chunk_shape)


def write_chunk(
    dataset: h5py.Dataset, offset: tuple[int, ...], data: ChunkBuffer | bytes, filter_mask: int, file: OutputFile | None
) -> None:
    """Write an encoded chunk; with a file, HDF5 gives it a place there, and does not write it."""
    if file is None or not hasattr(os, "pwrite"):  # on Windows HDF5 writes
        dataset.id.write_direct_chunk(offset, data, filter_mask)
        return
    place = place_chunk(dataset, offset, data, filter_mask, file)
    if place >= 0:
        file.write_at(data, place)


def place_chunk(
    dataset: h5py.Dataset,
    offset: tuple[int, ...],
    data: ChunkBuffer | bytes | memoryview,
    filter_mask: int,
    file: OutputFile,
) -> int:
    """Have HDF5 give an encoded chunk its place in a file, and return it; -1 where HDF5 has written the chunk."""
    file.leave_out(data)
    dataset.id.write_direct_chunk(offset, data, filter_mask)
    return file.place_left_out()


def _copied(chunk: ChunkBuffer) -> ChunkBuffer:
    copy = ChunkBuffer(len(chunk))
    memoryview(copy)[:] = memoryview(chunk)
    return copy
