"""Rows in, compressed chunks out: every core encodes, one thread writes, in order.

source ─→ ChunkBuffer ─→ filter pipeline, on every core, no Python lock ─→ write_direct_chunk, in order
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np

from ptychoproduct.codecs import Codec
from ptychoproduct.errors import OptionError
from ptychoproduct.pipeline import filter_pipeline
from ptychoproduct.sources import RowSource
from ptychoproduct_native import ChunkBuffer

# Measured: from 0.5 to 4 MiB the throughput is the same within 5 %; a small chunk is quicker to read one frame from.
CHUNK_BYTES = 1024**2
MOST_CHUNK_BYTES = 1024**3  # HDF5 takes 4 GiB, some filters less
# Chunks waiting for a core or for the file; enough that neither ever waits for the other.
_WINDOW_PER_THREAD = 3
_WINDOW_BYTES = 64 * 1024**2

Progress = Callable[[int], None]
"""Called with the number of bytes of input that have been written since the last call."""


def default_chunk_rows(row_shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    """Return how many rows make a chunk of about `CHUNK_BYTES`."""
    return max(1, CHUNK_BYTES // max(1, math.prod(row_shape) * dtype.itemsize))


def create_chunked(
    group: h5py.Group,
    name: str,
    row_shape: tuple[int, ...],
    dtype: np.dtype[Any],
    codec: Codec,
    rows: int | None,
    chunk_rows: int | None = None,
) -> h5py.Dataset:
    """Create a dataset that a `ChunkStream` can fill.

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
    chunk_rows : int, optional
        Rows of a chunk; chosen by the size of a row by default.

    Raises
    ------
    OptionError
        A chunk would be larger than `MOST_CHUNK_BYTES`.
    """
    chunk_rows = chunk_rows or default_chunk_rows(row_shape, dtype)
    if rows is not None:
        chunk_rows = min(chunk_rows, rows)
    chunk_bytes = chunk_rows * math.prod(row_shape) * dtype.itemsize
    if chunk_bytes > MOST_CHUNK_BYTES:
        raise OptionError(
            "chunk_frames", found=f"{chunk_rows}, {chunk_bytes} bytes", expected=f"at most {MOST_CHUNK_BYTES} bytes"
        )
    return group.create_dataset(
        name,
        shape=(rows or 0, *row_shape),
        maxshape=(rows, *row_shape),
        dtype=dtype,
        chunks=(chunk_rows, *row_shape),
        **codec.dataset_options(dtype),
    )


class ChunkStream:
    """Writes the chunks of one dataset.

    A context manager: leaving it waits for all chunks, or drops them if there was an error. A dataset that can grow
    does so by whole chunks.

    Parameters
    ----------
    dataset : h5py.Dataset
        Made by `create_chunked`.
    threads : int
        How many chunks are encoded at once.
    progress : callable, optional
        See `Progress`.
    """

    def __init__(self, dataset: h5py.Dataset, threads: int, progress: Progress | None = None) -> None:
        self.chunk_rows: int = dataset.chunks[0]
        self.row_bytes = math.prod(dataset.shape[1:]) * dataset.dtype.itemsize
        self.chunk_bytes = self.chunk_rows * self.row_bytes
        self._dataset = dataset
        self._grows = dataset.maxshape[0] is None
        self._origin = (0,) * (len(dataset.shape) - 1)
        self._pipeline = filter_pipeline(dataset)
        self._progress = progress
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="encode")
        self._window = max(threads + 1, min(threads * _WINDOW_PER_THREAD, _WINDOW_BYTES // self.chunk_bytes))
        self._pending: deque[tuple[int, int, Future[tuple[ChunkBuffer, int]]]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.drain()
        finally:
            self._pool.shutdown(cancel_futures=True)

    def drain(self) -> None:
        """Write all chunks that were submitted."""
        while self._pending:
            self._write_oldest()

    def submit(self, first: int, rows: int, fill: Callable[[memoryview], None]) -> None:
        """Encode a chunk whose rows are read on the encoding thread.

        Parameters
        ----------
        first : int
            Its first row, a multiple of `chunk_rows`.
        rows : int
            How many of its rows there are; the rest of the last chunk becomes zeros.
        fill : callable
            Fills a view of these rows' bytes.
        """
        self._make_room()
        self._pending.append((first, rows, self._pool.submit(self._fill_and_encode, rows, fill)))

    def submit_filled(self, first: int, rows: int, chunk: ChunkBuffer) -> None:
        """Encode a chunk, `rows` rows of which have been filled already, the rest with zeros."""
        self._make_room()
        self._pending.append((first, rows, self._pool.submit(self._pipeline.encode, chunk)))

    def new_chunk(self) -> ChunkBuffer:
        """Return memory for a chunk, not initialised."""
        return ChunkBuffer(self.chunk_bytes)

    def _fill_and_encode(self, rows: int, fill: Callable[[memoryview], None]) -> tuple[ChunkBuffer, int]:
        chunk = self.new_chunk()
        fill_rows(chunk, rows * self.row_bytes, fill)
        return self._pipeline.encode(chunk)

    def _make_room(self) -> None:
        while len(self._pending) >= self._window:
            self._write_oldest()

    def _write_oldest(self) -> None:
        first, rows, future = self._pending.popleft()
        data, filter_mask = future.result()
        if self._grows:
            self._dataset.resize(first + self.chunk_rows, axis=0)
        self._dataset.id.write_direct_chunk((first, *self._origin), data, filter_mask)
        if self._progress is not None:
            self._progress(rows * self.row_bytes)


class RowAppender:
    """Writes rows that come in blocks of any size, whose number is not known beforehand.

    A context manager: leaving it with an error drops what is not written yet.

    Parameters
    ----------
    dataset : h5py.Dataset
        Made by `create_chunked` without a number of rows.
    threads : int
    progress : callable, optional
        See `Progress`.
    """

    def __init__(self, dataset: h5py.Dataset, threads: int, progress: Progress | None = None) -> None:
        self._dataset = dataset
        self._stream = ChunkStream(dataset, threads, progress)
        self._chunk: ChunkBuffer | None = None
        self.rows = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.__exit__(kind, error, trace)

    def append(self, source: RowSource) -> None:
        """Append all rows of a source."""
        stream = self._stream
        taken = 0
        while taken < source.shape[0]:
            if self._chunk is None:
                self._chunk = stream.new_chunk()
            filled = self.rows % stream.chunk_rows
            count = min(stream.chunk_rows - filled, source.shape[0] - taken)
            start = filled * stream.row_bytes
            with memoryview(self._chunk) as view, view[start : start + count * stream.row_bytes] as rows:
                source.read_into(taken, rows)
            taken += count
            self.rows += count
            if self.rows % stream.chunk_rows == 0:
                stream.submit_filled(self.rows - stream.chunk_rows, stream.chunk_rows, self._chunk)
                self._chunk = None

    def finish(self) -> None:
        """Write what is left, and give the dataset its length."""
        stream = self._stream
        if self._chunk is not None:
            filled = self.rows % stream.chunk_rows
            with memoryview(self._chunk) as view:
                view[filled * stream.row_bytes :] = bytes(len(view) - filled * stream.row_bytes)
            stream.submit_filled(self.rows - filled, filled, self._chunk)
            self._chunk = None
        stream.__exit__(None, None, None)
        self._dataset.resize(self.rows, axis=0)


def fill_rows(chunk: ChunkBuffer, nbytes: int, fill: Callable[[memoryview], None]) -> None:
    """Fill the first `nbytes` of a chunk, and the rest with zeros."""
    with memoryview(chunk) as view:
        with view[:nbytes] as rows:
            fill(rows)
        if nbytes < len(view):
            view[nbytes:] = bytes(len(view) - nbytes)


def write_rows(
    dataset: h5py.Dataset,
    source: RowSource,
    threads: int,
    progress: Progress | None = None,
    chunks: Sequence[int] | None = None,
) -> None:
    """Write the rows of a source, and verify the source's checksums.

    Parameters
    ----------
    dataset : h5py.Dataset
        Made by `create_chunked` for the source's shape and dtype.
    source : RowSource
    threads : int
    progress : callable, optional
        See `Progress`.
    chunks : sequence of int, optional
        First rows of the chunks to write, ascending; all by default. A source whose rows come in order has to have all.
    """
    with ChunkStream(dataset, threads, progress) as stream:
        for window in source.windows(stream.chunk_rows):
            starts = window[:: stream.chunk_rows]
            _write_chunks(stream, source, window.stop, [first for first in starts if chunks is None or first in chunks])
            stream.drain()
    source.finish()


def _write_chunks(stream: ChunkStream, source: RowSource, stop: int, starts: Sequence[int]) -> None:
    for first in starts:
        rows = min(stream.chunk_rows, stop - first)
        fill = partial(source.read_into, first)
        if source.random_access:
            stream.submit(first, rows, fill)
        else:
            chunk = stream.new_chunk()
            fill_rows(chunk, rows * stream.row_bytes, fill)
            stream.submit_filled(first, rows, chunk)
