"""Datasets in another codec, or in chunks of another shape: decoded and encoded on all cores."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import accumulate
from typing import Any

import h5py
import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.compression.filters import filter_pipeline
from ptychoproduct.errors import ContractError, SourceError
from ptychoproduct.hdf5.chunks import ChunkIndex, StoredChunk, own_descriptor, read_chunk
from ptychoproduct.hdf5.dataset_reader import DatasetReader
from ptychoproduct.hdf5.local_links import reading
from ptychoproduct.hdf5.row_checksums import changed_rows, have_changed, stored_row_checksums
from ptychoproduct.streaming.chunk_stream import write_rows
from ptychoproduct.streaming.chunk_target import RowOutput, write_chunk
from ptychoproduct.streaming.dataset_rows import DatasetRows
from ptychoproduct.system.ordered_tasks import OrderedTasks
from ptychoproduct.system.resources import Resources
from ptychoproduct.system.workers import most_ahead
from ptychoproduct_native import FLETCHER32_ID, ChunkBuffer, Filter, FilterError, FilterPipeline, OutputFile


def recode(
    source: h5py.Dataset,
    target: h5py.Dataset,
    resources: Resources,
    accept_damage: bool = False,
    file: OutputFile | None = None,
) -> DatasetReader | None:
    """Fill a dataset with the content of another one, whose checksums are verified.

    Parameters
    ----------
    source : h5py.Dataset
        Numbers that have the same bytes in the file and in memory; at least one.
    target : h5py.Dataset
        Of the same shape and type, in chunks, empty.
    resources : Resources
        Threads and progress.
    accept_damage : bool
        Whether rows that cannot be decoded become fill values.
    file : OutputFile, optional
        See `RowOutput`.

    Returns
    -------
    DatasetReader or None
        What knows which rows have become that.

    Raises
    ------
    ContractError
        The source cannot be decoded, or has changed; which chunk or rows.
    """
    decode = _pipeline_here(source) if source.chunks == target.chunks and not accept_damage else None
    if decode is not None:
        with reading(source):
            checksums = stored_row_checksums(source) if source.chunks[1:] == source.shape[1:] else None
        _recode_chunks(source, target, decode, resources, file, checksums)
        return None
    if not source.id.get_storage_size():  # it holds fill values only
        resources.progress(source.size * source.dtype.itemsize)
        return None
    output = RowOutput(target, None if target.dtype.isnative else _in_stored_order, file=file)
    rows = DatasetRows(source, resources=resources, accept_damage=accept_damage)
    write_rows([output], rows, resources)
    if target.shape != source.shape:  # a dataset that can grow has grown by whole chunks
        target.resize(source.shape)
    return rows.reader


def append_chunks(
    source: h5py.Dataset,
    target: h5py.Dataset,
    start: int,
    checksums: Array | None,
    resources: Resources,
    file: OutputFile,
) -> None:
    """Copy the encoded chunks of a dataset to a place in another one, and decode each to see that it is sound.

    Parameters
    ----------
    source : h5py.Dataset
    target : h5py.Dataset
        With the same filters and chunks.
    start : int
        The row of the target that is the source's first one.
    checksums : array, [n], uint32, optional
        Of the source's rows.
    resources : Resources
        Threads and progress.
    file : OutputFile
        See `RowOutput`.

    Raises
    ------
    ContractError
        A chunk cannot be decoded, or has changed.
    """
    decode = _pipeline_here(source)
    if decode is None:
        raise ContractError(source.file.filename, "has a filter that is not installed", key=source.name)
    _recode_chunks(source, target, decode, resources, file, checksums, start)


def _recode_chunks(
    source: h5py.Dataset,
    target: h5py.Dataset,
    decode: FilterPipeline,
    resources: Resources,
    file: OutputFile | None,
    checksums: Array | None,
    start: int = 0,
) -> None:
    """Decode and encode chunk by chunk; what is encoded as it should be already stays as it is."""
    chunk_bytes = math.prod(source.chunks) * source.dtype.itemsize
    encode = filter_pipeline(target)
    keep = has_same_filters(source, target)
    where = (source.file.filename, source.name)
    dtype, chunk_shape = source.dtype, source.chunks

    def decoded(offset: tuple[int, ...], filter_mask: int, data: ChunkBuffer | bytes, keep: bool) -> ChunkBuffer:
        chunk = decode.decode(data, filter_mask, chunk_bytes, not keep and isinstance(data, ChunkBuffer))
        if checksums is not None:
            changed = changed_rows(np.frombuffer(chunk, dtype).reshape(chunk_shape), offset[0], checksums)
            if len(changed):
                raise ContractError(where[0], f"damaged: rows {have_changed(changed)}", key=where[1])
        return chunk

    def transcoded(offset: tuple[int, ...], fetch: _Fetch, is_kept: bool) -> _Encoded:
        try:
            filter_mask, data = fetch()
            chunk = decoded(offset, filter_mask, data, is_kept)  # also what stays as it is: it may be damaged
            return (offset, data, filter_mask) if is_kept else (offset, *encode.encode(chunk))
        except (FilterError, EOFError, OSError) as error:
            raise ContractError(where[0], f"chunk {offset} cannot be decoded: {error}", key=where[1]) from error
        except MemoryError as error:
            raise ContractError(where[0], "does not fit in memory", key=where[1]) from error

    def write(encoded: _Encoded) -> None:
        (first, *others), data, filter_mask = encoded
        write_chunk(target, (start + first, *others), data, filter_mask, file)

    stored = _StoredChunks(source)
    most_waiting = most_ahead(resources.threads, chunk_bytes)
    with OrderedTasks(resources.threads, most_waiting, write, resources.progress) as tasks:
        for offset in stored.origins():
            # HDF5 may have stored a chunk that reaches beyond the end without the filters, and not say so.
            is_whole = all(first + n <= end for first, n, end in zip(offset, source.chunks, source.shape, strict=True))
            task = partial(transcoded, offset, stored.fetching(offset), keep and is_whole)
            tasks.submit(task, chunk_bytes, is_small=stored.are_read_by_tasks)


_Encoded = tuple[tuple[int, ...], ChunkBuffer | bytes, int]
_Fetch = Callable[[], tuple[int, ChunkBuffer | bytes]]


class _StoredChunks:
    """The chunks of a dataset as they are in its file."""

    def __init__(self, dataset: h5py.Dataset) -> None:
        with reading(dataset):
            self._index = ChunkIndex(dataset)
        self._dataset = dataset
        self._descriptor = own_descriptor(self, dataset.file)
        self.are_read_by_tasks = self._descriptor is not None

    def origins(self) -> Iterator[tuple[int, ...]]:
        """Give the index of the first element of each, in order."""
        return self._index.origins()

    def fetching(self, offset: tuple[int, ...]) -> _Fetch:
        """Return what gives filter mask and bytes of a chunk, on any thread; what only HDF5 can read is read here."""
        place = self._index.find(offset)
        if self._descriptor is not None and place is not None:
            return partial(self._fetch, place)
        with reading(self._dataset):
            found = self._dataset.id.read_direct_chunk(offset)
        return lambda: found

    def _fetch(self, place: StoredChunk) -> tuple[int, ChunkBuffer]:
        assert self._descriptor is not None
        return place.filter_mask, read_chunk(self._descriptor, place)


def _in_stored_order(offset: tuple[int, ...], elements: Array, stored: Array) -> None:  # noqa: ARG001 - see `Convert`
    """Convert elements to the byte order of the file."""
    stored[...] = elements


def _pipeline_here(dataset: h5py.Dataset) -> FilterPipeline | None:
    """Return the pipeline of a dataset, None where only HDF5 can run it."""
    try:
        return filter_pipeline(dataset)
    except FilterError:
        return None


def has_same_chunks(source: h5py.Dataset, dataset: h5py.Dataset) -> bool:
    """Whether the chunks of two datasets are whole rows, and would be the same bytes for the same numbers.

    They are where shape, chunk shape, type with byte order, filters and filters' parameters are equal; the second may
    have a checksum besides, which `copy_chunks` adds.
    """
    return has_same_chunks_joined((source,), dataset)


def has_same_chunks_joined(parts: Sequence[h5py.Dataset], dataset: h5py.Dataset) -> bool:
    """Whether `has_same_chunks` holds for datasets one after the other; each begins where a chunk does."""
    ends = list(accumulate(map(len, parts)))
    return (
        ends[-1:] == [dataset.shape[0]]
        and all(end % dataset.chunks[0] == 0 for end in ends[:-1])
        and all(_fits(part, dataset) for part in parts)
    )


def _fits(source: h5py.Dataset, dataset: h5py.Dataset) -> bool:
    stages = _filters(dataset)
    return bool(
        source.shape[1:] == dataset.shape[1:]
        and source.chunks is not None
        and source.chunks == dataset.chunks
        and source.chunks[1:] == source.shape[1:]
        and source.id.get_type() == dataset.id.get_type()
        and _filters(source) in (stages, _without_checksum(stages))
    )


def has_same_filters(source: h5py.Dataset, dataset: h5py.Dataset) -> bool:
    """Whether the filters of two datasets, and all their parameters, are the same."""
    return _filters(source) == _filters(dataset)


def copy_chunks(
    source: h5py.Dataset, dataset: h5py.Dataset, progress: Callable[[int], None], first_row: int = 0
) -> set[int]:
    """Copy the chunks of frames, one after the other along the first axis, as they are stored.

    Parameters
    ----------
    source, dataset : h5py.Dataset
        For which `has_same_chunks` holds.
    progress : callable
        Called with a number of rows whenever so many have been copied.
    first_row : int
        Of the dataset, where the source begins.

    Returns
    -------
    set of int
        First rows, in the dataset, of the chunks that are left to be written: those that the source has not stored,
        which stand for its fill value, and one that reaches beyond the last row, which HDF5 may have stored without the
        filters.

    Raises
    ------
    SourceError
        A chunk cannot be read. Whether it can be decoded is not looked at.
    """
    rows, chunk_rows = source.shape[0], dataset.chunks[0]
    left = set()
    checksum = None
    if not has_same_filters(source, dataset):
        checksum = FilterPipeline([Filter(FLETCHER32_ID, 0, ())])
    try:
        with reading(source):
            stored = ChunkIndex(source)  # HDF5 would walk through all chunks for each one
    except ContractError as error:
        raise SourceError(source.file.filename, error.sentence, key=source.name) from error
    for first in range(0, rows, chunk_rows):
        offset = (first, *(0,) * (dataset.ndim - 1))
        try:
            if stored.find(offset) is None or first + chunk_rows > rows:
                left.add(first_row + first)
                continue
            filter_mask, chunk = source.id.read_direct_chunk(offset)
        except (OSError, RuntimeError) as error:
            frames = f"frames {first} to {min(first + chunk_rows, rows) - 1}"
            raise SourceError(source.file.filename, f"{frames} cannot be read: {error}", key=source.name) from error
        if checksum is not None:
            buffer = ChunkBuffer(len(chunk))
            memoryview(buffer)[:] = chunk
            chunk, _ = checksum.encode(buffer)
        dataset.id.write_direct_chunk((first_row + first, *offset[1:]), chunk, filter_mask)
        progress(chunk_rows)
    return left


def _without_checksum(stages: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return stages[:-1] if stages and stages[-1][0] == FLETCHER32_ID else stages


def _filters(dataset: h5py.Dataset) -> list[tuple[Any, ...]]:
    """Return numbers and parameters of a dataset's filters, as they stand in the file."""
    properties = dataset.id.get_create_plist()
    filters = map(properties.get_filter, range(properties.get_nfilters()))
    return [(filter_id, cd_values) for filter_id, _, cd_values, _ in filters]
