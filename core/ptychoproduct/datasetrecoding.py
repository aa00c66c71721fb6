"""Datasets in another codec, or in chunks of another shape: decoded and encoded on all cores."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from typing import Any

import h5py
import numpy as np

from ptychoproduct.chunkcopy import has_same_filters
from ptychoproduct.chunking import RowOutput
from ptychoproduct.decoding import DatasetReader
from ptychoproduct.errors import ContractError
from ptychoproduct.links import reading
from ptychoproduct.pipeline import filter_pipeline
from ptychoproduct.streaming import Progress, write_rows
from ptychoproduct.workers import Workers
from ptychoproduct_native import ChunkBuffer, FilterError, FilterPipeline

Array = np.ndarray[Any, Any]

# Encoded and decoded chunks that wait for a core or for the file.
_AHEAD_BYTES = 64 * 1024**2


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


def recode(source: h5py.Dataset, target: h5py.Dataset, threads: int, progress: Progress) -> None:
    """Fill a dataset with the content of another one.

    Parameters
    ----------
    source : h5py.Dataset
        Numbers that have the same bytes in the file and in memory; at least one.
    target : h5py.Dataset
        Of the same shape and type, in chunks, empty.
    threads : int
    progress : callable
        Called with a number of bytes whenever so many of the content have been written.

    Raises
    ------
    ContractError
        The source cannot be decoded; which chunk.
    """
    decode = _pipeline_here(source) if source.chunks == target.chunks else None
    if decode is not None:
        _recode_chunks(source, target, decode, threads, progress)
        return
    if not source.id.get_storage_size():  # fill values throughout
        progress(source.size * source.dtype.itemsize)
        return
    with closing(DatasetReader(source, threads)) as reader:
        write_rows([RowOutput(target)], DecodedRows(reader), threads, progress)
    if target.shape != source.shape:  # one that can grow has grown by whole chunks
        target.resize(source.shape)


def _recode_chunks(
    source: h5py.Dataset, target: h5py.Dataset, decode: FilterPipeline, threads: int, progress: Progress
) -> None:
    """Decode and encode chunk by chunk; what is encoded as it should be already stays as it is."""
    chunk_bytes = math.prod(source.chunks) * source.dtype.itemsize
    encode = filter_pipeline(target)
    keep = has_same_filters(source, target)
    where = (source.file.filename, source.name)

    def transcoded(origin: tuple[int, ...], filter_mask: int, data: bytes) -> tuple[ChunkBuffer, int]:
        try:
            return encode.encode(decode.decode(data, filter_mask, chunk_bytes))
        except FilterError as error:
            raise ContractError(where[0], f"chunk {origin} cannot be decoded: {error}", key=where[1]) from error
        except MemoryError as error:
            raise ContractError(where[0], "larger than the memory", key=where[1]) from error

    def calls() -> Iterator[Callable[[], tuple[Any, int]]]:
        for origin in origins:
            with reading(source):
                filter_mask, data = source.id.read_direct_chunk(origin)
            # HDF5 may have stored a chunk that reaches beyond the end without the filters, and not say so.
            if keep and all(
                first + n <= end for first, n, end in zip(origin, source.chunks, source.shape, strict=True)
            ):
                yield partial(_as_it_is, data, filter_mask)
            else:
                yield partial(transcoded, origin, filter_mask, data)

    origins: list[tuple[int, ...]] = []
    with reading(source):
        source.id.chunk_iter(lambda chunk: origins.append(chunk.chunk_offset))
    with closing(Workers(threads)) as workers:
        futures = workers.in_order(calls(), _AHEAD_BYTES // chunk_bytes)
        for origin, future in zip(origins, futures, strict=True):
            data, filter_mask = future.result()
            target.id.write_direct_chunk(origin, data, filter_mask)
            progress(chunk_bytes)


def _as_it_is(data: bytes, filter_mask: int) -> tuple[bytes, int]:
    return data, filter_mask


def _pipeline_here(dataset: h5py.Dataset) -> FilterPipeline | None:
    """Return the pipeline of a dataset, None where only HDF5 can run it."""
    try:
        return filter_pipeline(dataset)
    except FilterError:
        return None
